"""Disks that fail or fill up, fronts that freeze, a second server: the real processes, with faults put under them."""

import contextlib
import json
import os
import shutil
import signal
import smtplib
import subprocess
import time
from pathlib import Path

import apsw
import pytest
from faults import processes, traced
from letters import fields, letter
from running import snapshot
from waiting import PATIENCE, wait_until

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


def send(client, name, size=2000):
    """Submit one mail of a name; returns the code of the answer."""
    head = f"From: alice@one.test\r\nTo: bob@one.test\r\nX-Name: {name}\r\n\r\n"
    try:
        client.sendmail("alice@one.test", ["bob@one.test"], head + "x" * size + "\r\n")
    except smtplib.SMTPDataError as error:
        return error.smtp_code, error.smtp_error
    except smtplib.SMTPRecipientsRefused as error:
        return error.recipients["bob@one.test"]
    return 250, b""


def stored(server, login="bob@one.test", **fields_of):
    return [fields(one, "X-Name")[0].split()[1].decode() for one in server.messages(login, **fields_of)]


def integrity(server):
    db = apsw.Connection(str(server.directory / "data" / "mail.db"))
    try:
        return db.pragma("integrity_check")
    finally:
        db.close()


@needs_strace
@pytest.mark.crash
@pytest.mark.parametrize("call", ["fdatasync", "fsync,fdatasync"])
def test_a_sync_that_fails_ends_the_whole_group(make_server, ca, call):
    server = make_server(snapshot(ca))
    acknowledged = []
    with server.submission("alice@one.test") as client:
        for number in range(10):
            assert send(client, number)[0] == 250
            acknowledged.append(str(number))
        with traced(processes(server)["writer-0"], "-o", "/dev/null", "-e", f"inject={call}:error=EIO:when=1+"):
            with pytest.raises((smtplib.SMTPException, OSError)):
                send(client, "lost")
            assert server.process.wait(60) != 0
    assert server.events("store.fatal")
    assert "writer ended" in server.events("server.failed")[-1]["reason"]
    wait_until(lambda: not server.at_work())
    server.start()
    assert not set(acknowledged) - set(stored(server, count=10))
    assert server.terminate() == 0
    assert integrity(server) == "ok"


@needs_strace
@pytest.mark.crash
def test_writes_that_fail_are_answered_451_and_what_comes_after_is_taken(make_server, ca):
    server = make_server(snapshot(ca))
    inject = ("-o", "/dev/null", "-e", "inject=pwritev,pwritev2:error=EIO:when=1+")  # packs alone are written so
    with server.submission("alice@one.test") as client, server.imap("bob@one.test") as reader:
        assert send(client, "before")[0] == 250
        with traced(processes(server)["writer-0"], *inject):
            assert {send(client, f"then {number}")[0] for number in range(4)} == {451}
            reader.select_folder("INBOX")
            reader.add_flags([1], ["\\Flagged"])  # rows are another matter
        assert send(client, "after")[0] == 250
    assert server.events("store.write_failed")
    assert stored(server, count=2) == ["before", "after"]
    server.kill()
    server.start()
    assert stored(server, count=2) == ["before", "after"]
    assert server.terminate() == 0
    assert integrity(server) == "ok"


def test_a_second_server_waits_and_then_refuses(shared, alice, bob):
    command = [*shared.command, "--lock-seconds", "0.5", *shared.flags]
    start = time.monotonic()
    second = subprocess.run(command, capture_output=True, check=False, text=True, timeout=180)
    assert second.returncode != 0
    assert time.monotonic() - start > 0.5
    writer = processes(shared)["writer-0"]
    assert f"data is in use by another server or command (pid {writer}), after 0.5 s" in second.stderr
    with shared.submission(alice) as client:
        assert client.send_message(letter(alice, bob)) == {}


def test_a_data_directory_that_cannot_be_used_is_told_in_one_line(make_server, ca):
    server = make_server(snapshot(ca))
    for name, pid in processes(server).items():
        if name != "supervisor":
            assert Path(f"/proc/{pid}/comm").read_text().strip() == f"pr-{name}"
    assert (server.directory / "data" / "runtime").exists()
    assert server.terminate() == 0
    assert not (server.directory / "data" / "runtime").is_symlink()
    packs = server.directory / "data" / "packs"
    shutil.rmtree(packs)
    packs.write_text("no directory")
    failed = subprocess.run([*server.command, *server.flags], capture_output=True, check=False, text=True, timeout=180)
    assert failed.returncode == 1
    errors = [event for event in map(json.loads, failed.stderr.splitlines()) if event["level"] not in ("info", "debug")]
    assert [event["event"] for event in errors] == ["server.failed"]
    assert errors[0]["reason"] == f"{packs} cannot be used: File exists"


@pytest.mark.crash
def test_a_second_server_takes_over_when_the_first_ends(make_server, ca):
    server = make_server(snapshot(ca))
    with server.submission("alice@one.test") as client:
        assert send(client, "first")[0] == 250
    ready = server.directory / "second.json"
    command = [*server.command, *server.flags, "--lock-seconds", str(PATIENCE), "--ready-file", str(ready)]
    second = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    assert not ready.exists()
    assert server.terminate() == 0
    wait_until(ready.exists)
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0
    server.start()
    assert stored(server) == ["first"]


MIB = 1024 * 1024


class SmallDisk:
    """A server whose data directory is a small disk of its own, in a mount namespace."""

    def __init__(self, make_server, ca, megabytes):
        if os.geteuid() != 0 or not shutil.which("unshare"):
            pytest.skip("mounting a small disk needs root")
        self.server = make_server(snapshot(ca), start=False)
        data = self.server.directory / "data"
        data.mkdir()
        line = f"mount -t tmpfs -o size={megabytes}m none {data} && exec " + '"$@"'
        self.server.before = ("unshare", "-m", "sh", "-c", line, "sh")
        probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", data], check=False)
        if probe.returncode:
            pytest.skip("no mount namespaces here")
        self.server.start()
        #: The data directory as its server sees it.
        self.data = Path(f"/proc/{self.server.process.pid}/root{data}")
        self.ballast = self.data / "ballast"

    def leave(self, octets):
        """Fill the disk up to so much free space, while the server may take some too."""
        with self.ballast.open("ab") as file:
            while (more := self.available - octets) > 0:
                with contextlib.suppress(OSError):  # there was less by then, and nothing was taken
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, more)

    @property
    def available(self):
        stat = os.statvfs(self.data)
        return stat.f_bavail * stat.f_frsize

    def free(self):
        self.ballast.unlink()


def until_taken(client, name):
    """Send until it is taken: the server looks at the disk now and then."""
    end = time.monotonic() + PATIENCE
    while (answer := send(client, name))[0] != 250:
        assert answer[0] == 452
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.crash
def test_a_full_disk_keeps_mail_waiting_and_nothing_else(make_server, ca):
    disk = SmallDisk(make_server, ca, 120)
    server = disk.server
    with server.submission("alice@one.test") as client:
        for number in range(6):
            assert send(client, number)[0] == 250
        disk.leave(1 * MIB)  # below the floor of 2 %
        time.sleep(0.6)
        code, text = send(client, "refused")
        assert (code, text[:5]) == (452, b"4.3.1")
        with server.imap("bob@one.test") as reader:  # a login
            reader.select_folder("INBOX")
            reader.delete_messages([1, 2])
            reader.expunge([1, 2])
            assert reader.search() == [3, 4, 5, 6]
        disk.leave(0)  # not a byte: whatever happens now, nothing breaks
        codes = {send(client, f"{number} " * 5000)[0] for number in range(5)}
        assert codes <= {452, 451}
        with server.imap("bob@one.test") as reader:
            reader.select_folder("INBOX", readonly=True)
            assert reader.search() == [3, 4, 5, 6]
        assert server.get("/readyz")[0] == 200
        disk.free()
        until_taken(client, "again")
    assert stored(server, count=5) == ["2", "3", "4", "5", "again"]
    db = apsw.Connection(str(disk.data / "mail.db"))
    assert db.pragma("integrity_check") == "ok"
    db.close()
    counters = server.counters()
    assert counters.pop("accepted") == sum(counters.values()) == 7
    assert server.terminate() == 0
