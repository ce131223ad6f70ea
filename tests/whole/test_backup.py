"""A backup of a server at work, the loss of everything, and the return: no mail missing, no client misled."""

import re
import shutil
import socket
import subprocess
import sys
import threading
import time

from letters import fields
from running import PASSWORD, snapshot
from waiting import PATIENCE


def command(*arguments):
    run = [sys.executable, "-m", "postrider", *map(str, arguments)]
    done = subprocess.run(run, capture_output=True, check=False, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


def send(server, name):
    """Submit one mail of a name to bob."""
    head = f"From: alice@one.test\r\nTo: bob@one.test\r\nX-Name: {name}\r\n\r\n"
    with server.submission("alice@one.test") as client:
        client.sendmail("alice@one.test", ["bob@one.test"], head + f"{name} " * 300 + "\r\n")


class Load:
    """Clients that go on submitting, and the names that were acknowledged."""

    def __init__(self, server, senders):
        self.acknowledged = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._send, args=(server, n), daemon=True) for n in range(senders)]
        for thread in self.threads:
            thread.start()

    def _send(self, server, number):
        count = 0
        with server.submission("alice@one.test") as client:
            while not self.stop.is_set():
                name = f"{number}-{count}"
                head = f"From: alice@one.test\r\nTo: bob@one.test\r\nX-Name: {name}\r\n\r\n"
                client.sendmail("alice@one.test", ["bob@one.test"], head + f"{name} " * 300 + "\r\n")
                self.acknowledged.append(name)
                count += 1

    def reach(self, count):
        end = time.monotonic() + PATIENCE
        while len(self.acknowledged) < count:
            assert time.monotonic() < end
            time.sleep(0.01)
        return list(self.acknowledged)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
        return self.acknowledged


class Cache:
    """A client that keeps what it saw and comes back with QRESYNC (RFC 7162 §3.2.5)."""

    def __init__(self):
        self.uidvalidity = self.modseq = 0
        #: UID to raw message.
        self.mail = {}
        #: Of the last visit: UIDs that were told to be gone.
        self.vanished = set()

    def visit(self, server):
        with server.context().wrap_socket(socket.create_connection(server.place("imaps"), timeout=60)) as end:
            self.file = end.makefile("rwb")
            self._ask(b"LOGIN bob@one.test " + b'"' + PASSWORD.encode() + b'"')
            self._ask(b"ENABLE QRESYNC")
            known = b" (QRESYNC (%d %d))" % (self.uidvalidity, self.modseq) if self.uidvalidity else b""
            told = self._ask(b"SELECT INBOX" + known)
            uidvalidity = int(re.search(rb"UIDVALIDITY (\d+)", told)[1])
            if uidvalidity != self.uidvalidity:
                self.mail.clear()
            self.uidvalidity = uidvalidity
            self.vanished = set_of(b",".join(re.findall(rb"VANISHED \(EARLIER\) ([\d:,]+)", told)))
            for uid in [uid for uid in self.mail if any(first <= uid <= last for first, last in self.vanished)]:
                del self.mail[uid]
            self.modseq = int(re.search(rb"HIGHESTMODSEQ (\d+)", told)[1])
            for uid in map(int, re.search(rb"\* SEARCH ?([\d ]*)", self._ask(b"UID SEARCH ALL"))[1].split()):
                if uid not in self.mail:
                    self.mail[uid] = self._fetch(uid)
            self._ask(b"LOGOUT")

    def _fetch(self, uid):
        told = self._ask(b"UID FETCH %d (BODY.PEEK[])" % uid)
        return re.search(rb"\{(\d+)\}\r\n", told).string.partition(b"}\r\n")[2].rpartition(b")\r\n")[0]

    def _ask(self, line):
        self.file.write(b"a " + line + b"\r\n")
        self.file.flush()
        told = []
        while not (read := self.file.readline()).startswith(b"a "):
            assert read, told
            told.append(read)
            if literal := re.search(rb"\{(\d+)\}\r\n$", read):
                told.append(self.file.read(int(literal[1])))
        assert read.startswith(b"a OK"), read
        return b"".join(told)


def set_of(text):
    """The ranges of a sequence set."""
    return {tuple(map(int, (part.split(b":") * 2)[:2])) for part in text.split(b",") if part}


def names(messages):
    return [fields(message, "X-Name")[0].split()[1].decode() for message in messages]


def test_a_server_that_lost_everything_comes_back(make_server, ca, tmp_path):
    server = make_server(snapshot(ca))
    data, shelf = server.directory / "data", tmp_path / "shelf"
    load = Load(server, 3)
    load.reach(20)
    command("backup", shelf, "--data", data)
    before = load.reach(60)
    client = Cache()
    client.visit(server)
    seen_before = dict(client.mail)
    command("backup", shelf, "--data", data, "--keep", "1")
    load.reach(len(load.acknowledged) + 20)
    load.end()
    client.visit(server)
    lost = dict(client.mail)
    with server.imap("bob@one.test") as reader:
        reader.select_folder("INBOX")
        reader.add_flags([1, 2], ["\\Flagged"])
        reader.delete_messages([3])
        reader.expunge([3])
    client.visit(server)
    assert 3 not in client.mail
    server.kill()
    shutil.rmtree(data)
    assert "all is well" in command("backup", "verify", shelf)
    command("restore", shelf, "--data", data)
    server.start()
    for number in range(5):
        send(server, f"after-{number}")
    there = server.messages("bob@one.test")
    assert not set(before) - set(names(there)), "acknowledged before the backup, and gone"
    assert len(there) == len(set(names(there)))
    client.visit(server)
    assert sorted(client.mail.values()) == sorted(there)  # what it has is what there is
    assert {uid: client.mail.get(uid) for uid in seen_before} == seen_before  # byte by byte, under the same UIDs
    assert {uid: lost[uid] for uid in client.mail if uid in lost} == {
        uid: message for uid, message in client.mail.items() if uid in lost
    }
    after = {uid for uid, message in client.mail.items() if names([message])[0].startswith("after-")}
    assert len(after) == 5
    assert min(after) > max(lost)
    counters = server.counters()
    assert counters.pop("accepted") == sum(counters.values())


def test_a_server_comes_back_from_a_bucket(shared, make_server, alice, bob, bucket, tmp_path):
    """Every message octet by octet, of a backup that was taken while it served."""
    with shared.submission(alice) as client:
        for number in range(3):
            client.sendmail(alice, [bob], f"From: {alice}\r\nTo: {bob}\r\n\r\n{number} " + "mail " * 5000 + "\r\n")
    mail = shared.messages(bob, count=3)
    told = command("backup", bucket, "--data", shared.directory / "data")
    name = re.match(rf"{bucket}/(\d{{8}}T\d{{6}}Z): ", told)[1]
    assert command("backup", "list", bucket).startswith(f"{name} ")
    assert command("backup", "verify", bucket) == "all is well\n"
    server = make_server(shared.snapshot, start=False)
    command("restore", bucket, "--data", server.directory / "data", "--at", name, "--hold-queue")
    server.start()
    assert server.messages(bob, count=3) == mail
