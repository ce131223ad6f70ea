"""A Postrider of our own on loopback, with one mailbox and its defaults otherwise."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from postrider.contract import files, passwords, tls
from postrider.contract.model import Certificate, Domain, Mailbox, Server, Snapshot

DOMAIN = "postrider.test"
PASSWORD = "correct horse battery staple"


@dataclass(slots=True)
class Postrider:
    """One server below `root`."""

    root: Path
    #: Local parts of its mailboxes; their password is PASSWORD.
    users: Sequence[str] = ("box",)
    listeners: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The mail exchanger's port."""
        return self.place("smtp")[1]

    def place(self, listener: str) -> tuple[str, int]:
        """Where a listener is."""
        host, _, port = self.listeners[listener].rpartition(":")
        return host, int(port)

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._process.pid if self._process else 0

    def start(self) -> Postrider:
        """Publish a snapshot, start the server; returns once it serves."""
        ready = self.root / "ready.json"
        files.write_directory(self.root / "snapshot", _snapshot(self.users))
        command = [sys.executable, "-m", "postrider", "--listen-address", "127.0.0.1", "--ports", "auto"]
        command += ["--snapshot", str(self.root / "snapshot"), "--data", str(self.root / "data")]
        command += ["--ready-file", str(ready)]
        with (self.root / "log").open("wb") as log:  # as Postfix writes its maillog
            self._process = subprocess.Popen(command, stderr=log)
        deadline = time.monotonic() + 30
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server did not come up")
            time.sleep(0.05)
        self.listeners = json.loads(ready.read_text())["listeners"]
        return self

    def stop(self) -> None:
        """End it in good order."""
        if self._process:
            self._process.terminate()
            self._process.wait(30)


def _snapshot(users: Sequence[str]) -> Snapshot:
    hostname, now = f"mx.{DOMAIN}", time.time()
    verifiers = passwords.make(PASSWORD, generated=True)
    leaf = tls.issue(tls.make_ca(now), (hostname,), now, days=2)
    return files.normal(
        Snapshot(
            server=Server(hostname=hostname),
            generation=1,
            domains=(Domain(name=DOMAIN),),
            mailboxes=tuple(Mailbox(address=f"{user}@{DOMAIN}", verifiers=verifiers) for user in users),
            certificates=(Certificate(names=(hostname,), chain=leaf.certificate, key=leaf.key),),
        )
    )
