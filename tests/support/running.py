"""A whole server on loopback: real processes and sockets; only the operator is left out."""

import contextlib
import dataclasses
import http.client
import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import msgspec
from imapclient import IMAPClient
from waiting import PATIENCE, wait_until

from postrider.contract import dkim, files, passwords, tls
from postrider.contract.model import Certificate, DkimKey, Domain, Mailbox, Server, Snapshot

PASSWORD = "correct horse battery staple"
#: Verifiers are slow to make on purpose: one is enough for everybody.
VERIFIERS = passwords.make(PASSWORD, generated=True)
#: Messages asked for in one command: its line has a limit.
FETCHED = 2000
#: What the processes of a server run first.
BUSY_MACHINE = str(Path(__file__).with_name("busy_machine"))


def free_base():
    """A BASE for --ports, on loopback addresses that nobody else has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return min(max(probe.getsockname()[1] - 1000, 10000), 64000)


def snapshot(ca, hostname="mx.one.test", domains=("one.test",), users=("alice", "bob"), **server):
    """A snapshot with one mailbox per user and domain; every password is PASSWORD."""
    leaf = tls.issue(ca, (hostname, "localhost"), time.time(), days=2)
    keys = tuple(
        DkimKey(domain=name, selector="e", algorithm="Ed25519", pem=dkim.generate("Ed25519")) for name in domains
    )
    return files.normal(
        Snapshot(
            server=Server(hostname=hostname, **server),
            generation=1,
            domains=tuple(Domain(name=name, selectors=("e",)) for name in domains),
            mailboxes=tuple(
                Mailbox(address=f"{user}@{name}", verifiers=VERIFIERS) for name in domains for user in users
            ),
            keys=keys,
            certificates=(Certificate(names=(hostname, "localhost"), chain=leaf.certificate, key=leaf.key),),
        )
    )


@dataclasses.dataclass
class Running:
    """One server: its process, and clients for it."""

    directory: Path
    ca: Path
    flags: tuple = ()
    #: What runs the command: `unshare`, say.
    before: tuple = ()
    process: subprocess.Popen | None = None
    listeners: dict = dataclasses.field(default_factory=dict)
    snapshot: Snapshot | None = None

    @property
    def command(self):
        """The server's command line, but for where it listens."""
        places = {"--snapshot": self.directory / "snapshot", "--data": self.directory / "data"}
        named = [text for name, path in places.items() for text in (name, str(path))]
        return [sys.executable, "-m", "postrider", *named, "--fronts", "2", "--allow-tmpfs"]

    def start(self, seconds=PATIENCE):
        ready = self.directory / "ready.json"
        ready.unlink(missing_ok=True)
        command = [*self.before, *self.command, "--ready-file", str(ready), *self.flags]
        # To read all authorities of the world takes 25 ms a process; the other is how its processes are known.
        env = {**os.environ, "SSL_CERT_FILE": str(self.ca), "POSTRIDER_TESTED": str(self.directory)}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (BUSY_MACHINE, os.environ.get("PYTHONPATH"))))
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        end = time.monotonic() + seconds
        while not ready.exists():
            assert self.process.poll() is None, (self.directory / "log").read_text()[-4000:]
            assert time.monotonic() < end, (self.directory / "log").read_text()[-4000:]
            time.sleep(0.02)
        self.listeners = json.loads(ready.read_text())["listeners"]
        return self

    def events(self, name=""):
        """What it logged, all or the events of a name. A line that is only being written is none yet."""
        lines = (self.directory / "log").read_text().split("\n")[:-1]
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in events if name in ("", event["event"])]

    def publish(self, snapshot, *, wait=True):
        self.snapshot = snapshot
        files.write_directory(self.directory / "snapshot", snapshot)
        if wait:
            wait_until(lambda: self.status()["loaded"] == snapshot.generation)

    def change(self, **fields):
        """Publish the present snapshot with other fields, as the next generation."""
        self.publish(msgspec.structs.replace(self.snapshot, generation=self.snapshot.generation + 1, **fields))

    def change_mailbox(self, address, /, **fields):
        """Publish the present snapshot with other fields of one mailbox."""
        rows = self.snapshot.mailboxes
        changed = (msgspec.structs.replace(row, **fields) if row.address == address else row for row in rows)
        self.change(mailboxes=tuple(changed))

    def remove_mailbox(self, address):
        """Publish the present snapshot without one mailbox."""
        self.change(mailboxes=tuple(row for row in self.snapshot.mailboxes if row.address != address))

    def place(self, name):
        host, _, port = self.listeners[name].rpartition(":")
        return host, int(port)

    def get(self, path, listener="health"):
        connection = http.client.HTTPConnection(*self.place(listener), timeout=60)
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response.status, body

    def status(self):
        return json.loads(self.get("/status")[1])

    def counters(self):
        """The store's delivery counters as /metrics tells them."""
        found = {}
        for line in self.get("/metrics", "metrics")[1].splitlines():
            if line.startswith("postrider_deliveries_total{"):
                found[line.split('"')[1]] = int(float(line.rsplit(" ", 1)[1]))
            if line.startswith("postrider_queue_recipients "):
                found["queued"] = int(float(line.rsplit(" ", 1)[1]))
        return found

    def context(self):
        context = ssl.create_default_context(cafile=str(self.ca))
        context.check_hostname = False
        return context

    @contextlib.contextmanager
    def submission(self, login=None):
        with smtplib.SMTP(*self.place("submission"), timeout=60) as client:
            client.starttls(context=self.context())
            if login:
                client.login(login, PASSWORD)
            yield client

    @contextlib.contextmanager
    def imap(self, login):
        host, port = self.place("imaps")
        with IMAPClient(host, port, ssl_context=self.context(), timeout=60) as client:
            client.login(login, PASSWORD)
            yield client

    def messages(self, login, folder="INBOX", count=1, seconds=PATIENCE):
        """The raw messages of a folder, once there are at least `count`."""
        end = time.monotonic() + seconds
        with self.imap(login) as client:
            while client.folder_status(folder, ["MESSAGES"])[b"MESSAGES"] < count:
                assert time.monotonic() < end, f"{login}: fewer than {count} messages in {folder}"
                time.sleep(0.05)
            client.select_folder(folder, readonly=True)
            uids = client.search()
            found = []
            for start in range(0, len(uids), FETCHED):
                found += client.fetch(uids[start : start + FETCHED], ["BODY.PEEK[]"]).values()
            return [row[b"BODY[]"] for row in found]

    def terminate(self, seconds=PATIENCE):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def at_work(self):
        """Its processes that have not ended."""
        mark, found = f"POSTRIDER_TESTED={self.directory}".encode(), []
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # it ended meanwhile, or is somebody else's
                if mark in environment.read_bytes().split(b"\0"):
                    found.append(int(environment.parent.name))
        return found

    def kill(self):
        """kill -9 of the supervisor; its children end with it, and nobody is at work in its directories any more."""
        if self.process:
            self.process.kill()
            self.process.wait(60)
            wait_until(lambda: not self.at_work())
