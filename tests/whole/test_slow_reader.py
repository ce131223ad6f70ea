"""A client that reads a kilobyte a second costs little memory and holds up nobody, the database's log least of all."""

import socket
import time

import apsw
import pytest
from faults import processes, rss
from running import PASSWORD, snapshot

MIB = 1024 * 1024
#: Slow clients, and more of them: what each costs is its part of what the second lot costs. It is so large because
#: the memory of two fronts is not known to less than a few MiB.
FIRST, MORE = 12, 36


class SlowReader:
    """Asks for everything, over TLS and a small window, and reads a kilobyte a second."""

    def __init__(self, server, command):
        self.raw = socket.socket()
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.raw.settimeout(60)
        self.raw.connect(server.place("imaps"))
        self.tls = server.context().wrap_socket(self.raw)
        for line in (b'LOGIN bob@one.test "%b"' % PASSWORD.encode(), b"SELECT INBOX"):
            self.tls.sendall(b"a " + line + b"\r\n")
            told = b""
            while b"a OK" not in told:
                told += self.tls.recv(4096)
        self.tls.sendall(b"b " + command + b"\r\n")

    def read(self):
        return self.tls.recv(1024)

    def close(self):
        self.tls.close()


@pytest.mark.crash
@pytest.mark.parametrize(
    ("command", "size", "count"),
    [
        pytest.param(b"UID FETCH 1:* (UID BODY.PEEK[])", MIB // 4, 60, id="bodies"),
        pytest.param(b"UID FETCH 1:* (UID BODY.PEEK[])", 4 * MIB, 12, id="large bodies"),
        pytest.param(b"UID FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE)", MIB // 4, 60, id="structures"),
    ],
)
def test_a_slow_reader_holds_nothing(make_server, ca, command, size, count):
    server = make_server(snapshot(ca))
    with server.imap("bob@one.test") as client:
        big = b"Subject: big\r\nTo: " + b"x@y.test, " * 300 + b"z@y.test\r\n\r\n" + b"0123456789abcde\n" * (size // 16)
        for _ in range(count):
            client.append("INBOX", big.replace(b"\n", b"\r\n").replace(b"\r\r", b"\r"))
        client.select_folder("INBOX")
        for _ in range(5):
            client.copy(f"1:{count}", "INBOX")
    fronts = [pid for role, pid in processes(server).items() if role.startswith("front-")]
    readers = [SlowReader(server, command) for _ in range(FIRST)]  # caches and such are not theirs
    for _ in range(3):
        assert all(reader.read() for reader in readers)
        time.sleep(1)
    before, most = sum(map(rss, fronts)), 0
    readers += [SlowReader(server, command) for _ in range(MORE)]
    with server.submission("alice@one.test") as client:
        for _ in range(5):
            assert all(reader.read() for reader in readers)
            client.sendmail("alice@one.test", ["bob@one.test"], "From: alice@one.test\r\n\r\n" + "x" * 50_000 + "\r\n")
            time.sleep(1)
            most = max(most, sum(map(rss, fronts)) - before)
    assert most < MORE * 2 * MIB, f"{most / MORE / MIB:.1f} MiB for each"
    db = apsw.Connection(str(server.directory / "data" / "mail.db"))
    db.setbusytimeout(5000)
    assert db.pragma("journal_mode") == "wal"
    pages, copied = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)  # Busy, if anybody still read the log
    assert (pages, copied) == (0, 0)
    db.close()
    for reader in readers:
        reader.close()
    assert server.terminate() == 0
