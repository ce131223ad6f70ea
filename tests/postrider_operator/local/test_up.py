"""`postrider up` as people use it: a real server, real clients, files edited under it."""

from __future__ import annotations

import fcntl
import imaplib
import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

API = "apiVersion: postrider.dev/v1alpha1\n"
QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart"
PATIENCE = 180.0


class Up:
    """One `postrider up`."""

    process: subprocess.Popen[bytes] | None = None

    def __init__(self, directory: Path, data: Path) -> None:
        self.directory, self.data = directory, data
        self.ready_file = data / "ready.json"
        self.output = data.parent / "output"

    def start(self, *flags: str) -> Up:
        self.begin(*flags)
        self.wait(self.ready_file.exists)
        return self

    def begin(self, *flags: str) -> None:
        self.ready_file.unlink(missing_ok=True)
        command = [sys.executable, "-c", "from postrider_operator.cli import main; main()", "up", str(self.directory)]
        command += ["--data", str(self.data), "--ports", "auto", "--resolver", "127.0.0.1:1"]
        command += ["--ready-file", str(self.ready_file), *flags]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """kill -9 of `up` alone; returns when nobody listens any more."""
        assert self.process is not None
        place = self.place("smtp")
        self.process.kill()
        self.process.wait(PATIENCE)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(place, timeout=5).close()
            except ConnectionRefusedError:
                return
            assert time.monotonic() < end, "the server goes on without its parent"
            time.sleep(0.05)

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def ready(self) -> dict[str, Any]:
        return json.loads(self.ready_file.read_text())  # type: ignore[no-any-return]

    def wait(self, condition: Callable[[], Any]) -> Any:
        assert self.process is not None
        end = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.05)
        return found

    def password(self, address: str) -> str:
        return next(row["password"] for row in self.ready["mailboxes"] if row["address"] == address)

    def place(self, name: str) -> tuple[str, int]:
        host, _, port = self.ready["listeners"][name].rpartition(":")
        return host, int(port)

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ready["ca"])

    def logs_in(self, address: str, password: str) -> bool:
        with imaplib.IMAP4_SSL(*self.place("imaps"), ssl_context=self.trust) as client:
            try:
                client.login(address, password)
            except imaplib.IMAP4.error:
                return False
            return True

    def send(self, sender: str, receiver: str) -> None:
        with smtplib.SMTP(*self.place("submission")) as client:
            client.starttls(context=self.trust)
            client.login(sender, self.password(sender))
            client.sendmail(sender, receiver, f"From: {sender}\r\nTo: {receiver}\r\nSubject: Hi\r\n\r\nHi.\r\n")

    def subjects(self, address: str) -> int:
        with imaplib.IMAP4_SSL(*self.place("imaps"), ssl_context=self.trust) as client:
            client.login(address, self.password(address))
            return int(client.select("INBOX", readonly=True)[1][0] or b"0")


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    directory = tmp_path / "files"
    directory.mkdir()
    for file in QUICKSTART.iterdir():
        (directory / file.name).write_text(file.read_text())
    running = Up(directory, tmp_path / "data")
    running.data.mkdir()
    yield running
    if running.process and running.process.poll() is None:
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(PATIENCE)


@pytest.mark.timeout(900)
def test_quickstart_serves_edits_take_effect_and_neither_wrong_files_nor_kills_do_harm(up: Up) -> None:
    rows = (f"{API}kind: Mailbox\nmetadata: {{name: m{n}}}\nspec: {{address: m{n}@example.org}}\n" for n in range(12))
    (up.directory / "many.yaml").write_text("---\n".join(rows))
    up.start()
    ready = up.ready
    assert set(ready["listeners"]) == {"smtp", "submission", "submissions", "imap", "imaps", "metrics", "health"}
    assert {"alice@example.org", "bob@example.net", "carol@example.org"} < {
        row["address"] for row in ready["mailboxes"]
    }
    assert {"name", "type", "ttl", "value"} == set(ready["dns"][0])
    up.wait(lambda: "curl" in up.said)

    # A mail through the alias reaches both.
    up.send("alice@example.org", "sales@example.org")
    up.wait(lambda: up.subjects("bob@example.net") == 1)
    up.wait(lambda: up.subjects("alice@example.org") == 1)

    # A given password, changed.
    assert up.logs_in("carol@example.org", "change me before anybody else does")
    boxes = up.directory / "mailboxes.yaml"
    boxes.write_text(boxes.read_text().replace("change me before anybody else does", "another one"))
    up.wait(lambda: up.logs_in("carol@example.org", "another one"))
    up.wait(lambda: not up.logs_in("carol@example.org", "change me before anybody else does"))

    # A wrong file is told with line and field; its object stays, other changes are served.
    boxes.write_text(boxes.read_text().replace("quota: 5Gi", "quota: plenty"))
    (up.directory / "new.yaml").write_text(
        f"{API}kind: Mailbox\nmetadata: {{name: dora}}\nspec: {{address: dora@example.org}}\n"
    )
    up.wait(lambda: "dora@example.org" in up.ready_file.read_text())
    assert "mailboxes.yaml:9: mailbox/alice: spec.quota: not a size" in up.said
    assert up.logs_in("alice@example.org", up.password("alice@example.org"))
    boxes.write_text(boxes.read_text().replace("quota: plenty", "quota: 6Gi"))
    up.wait(lambda: "mended: " in up.said)

    # Where nothing can be written, what is served is served on, and the change waits.
    accepted = up.data / "state" / "accepted.json"
    accepted.unlink()
    accepted.mkdir()
    boxes.write_text(boxes.read_text().replace("another one", "a third one"))
    up.wait(lambda: "cannot be written, so changes wait: " in up.said)
    assert up.logs_in("carol@example.org", "another one")
    accepted.rmdir()
    up.wait(lambda: up.logs_in("carol@example.org", "a third one"))
    up.wait(lambda: f"mended: {up.data}: cannot be written" in up.said)

    # A deleted mailbox cannot log in any more; made again, it has its mail and its password.
    dora = up.password("dora@example.org")
    text = (up.directory / "new.yaml").read_text()
    (up.directory / "new.yaml").unlink()
    up.wait(lambda: not up.logs_in("dora@example.org", dora))
    (up.directory / "new.yaml").write_text(text)
    up.wait(lambda: up.logs_in("dora@example.org", dora))

    # Many that vanish at once are kept until somebody says that it is meant.
    up.wait(lambda: len(up.ready["mailboxes"]) == 16)
    first = up.ready
    (up.directory / "many.yaml").unlink()
    up.wait(lambda: "--acknowledge" in up.said)
    assert up.logs_in("m7@example.org", up.password("m7@example.org"))
    generation = up.said.rsplit("--acknowledge ", 1)[1].split()[0]

    # Killed, it takes its server along.
    up.kill()

    # Another start: the same keys and passwords, the same mail.
    up.start("--acknowledge", generation)
    up.wait(lambda: len(up.ready["mailboxes"]) == 4)
    assert [row for row in first["mailboxes"] if not row["address"].startswith("m")] == up.ready["mailboxes"]
    assert up.ready["dns"] == first["dns"]
    assert up.subjects("bob@example.net") == 1

    # A server that dies is started again.
    before = up.ready["listeners"]
    children = Path(f"/proc/{up.process.pid}/task/{up.process.pid}/children")  # type: ignore[union-attr]
    os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
    up.wait(lambda: up.ready["listeners"] != before)
    assert up.subjects("bob@example.net") == 1
    assert up.stop() == 0


def test_who_waits_for_a_command_is_told(up: Up) -> None:
    up.start()
    assert up.stop() == 0
    with (up.data / "mail" / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        up.begin()
        up.wait(lambda: f"still starting: it waits for whoever else uses {up.data}" in up.said)
        assert not up.ready_file.exists()
    up.wait(up.ready_file.exists)


def test_two_cannot_use_one_data_directory(up: Up) -> None:
    with (up.data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, "-c", "from postrider_operator.cli import main; main()", "up", str(up.directory)]
        found = subprocess.run([*command, "--data", str(up.data)], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "in use by another" in found.stderr
