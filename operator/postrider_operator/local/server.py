"""The mail server as a child process: started, asked how it is, restarted when it ends by itself, ended cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from postrider.contract import report
from postrider_operator.world import Pod

#: Where `--ports` is not given: these when all are free, so that a mail client finds the server again.
BASE = 10000
WELL_KNOWN: Mapping[str, int] = {
    "smtp": 25,
    "submission": 587,
    "submissions": 465,
    "imap": 143,
    "imaps": 993,
    "health": 80,
    "metrics": 90,
}
#: The largest number that can be added to all of them.
HIGHEST_BASE = 65535 - max(WELL_KNOWN.values())
ADDRESS = "127.0.0.1"

#: Seconds the server gets to finish what it accepted, and some more until it is killed.
DRAIN = 5.0
_KILL_AFTER = 5.0
_ASK = 2.0
_TAIL = 15


class ServerFailed(Exception):
    """The server cannot be started; the message has its reason, or the end of its log."""


@dataclass(slots=True)
class Server:
    """One child process."""

    #: Where the snapshot, the mail and the log are.
    data: Path
    ports: str
    resolver: str = ""
    listeners: Mapping[str, str] = field(default_factory=dict)
    _process: asyncio.subprocess.Process | None = None
    #: Where in the log its lines begin.
    _since: int = 0

    @property
    def snapshot(self) -> Path:
        """Directory the server reads its snapshot from."""
        return self.data / "snapshot"

    @property
    def log(self) -> Path:
        """What the server writes."""
        return self.data / "server.log"

    @property
    def _ready_file(self) -> Path:
        return self.data / "state" / "listeners.json"

    async def start(self) -> None:
        """Start and wait until it serves. Raises ServerFailed when it ends instead."""
        self._ready_file.unlink(missing_ok=True)
        self.log.touch(mode=0o600)
        with self.log.open("ab") as log:
            self._since = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *self._command(), stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        while not self._ready_file.exists():
            if self._process.returncode is not None:
                raise ServerFailed(f"the server ended with status {self._process.returncode}{self._why()}")
            await asyncio.sleep(0.02)
        self.listeners = json.loads(self._ready_file.read_bytes())["listeners"]

    async def ended(self) -> int:
        """Wait for the process to end; its status."""
        return await self._process.wait() if self._process else 0

    async def stop(self) -> int:
        """Ask it to finish and wait; its status."""
        process = self._process
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(2 * DRAIN + _KILL_AFTER):
                return await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            return await process.wait()

    async def pod(self) -> Pod:
        """The server as planning sees a pod."""
        health = self.listeners.get("health")
        if health is None or self._process is None or self._process.returncode is not None:
            return Pod("server", ready=False)
        try:
            status = report.decode(await asyncio.to_thread(_get, f"http://{health}/status"))
        except (OSError, ValueError):
            return Pod("server", ready=False)
        refusal = status.refused
        return Pod(
            "server",
            ready=status.loaded is not None,
            loaded=status.loaded or 0,
            refused=refusal.generation if refusal else 0,
            refusal=_told(refusal) if refusal else "",
            readable=status.readable,
        )

    def _why(self) -> str:
        """What it gave as its reason since the start, else the last lines of its log."""
        lines = self.log.read_bytes()[self._since :].decode(errors="replace").splitlines()
        for line in lines:
            if '"event":"server.failed"' in line:
                return f": {json.loads(line)['reason']}"
        return "\n".join(("", *lines[-_TAIL:]))

    def _command(self) -> list[str]:
        command = [
            sys.executable,
            "-m",
            "postrider",
            "--snapshot",
            str(self.snapshot),
            "--data",
            str(self.data / "mail"),
        ]
        command += ["--listen-address", ADDRESS, "--ports", self.ports, "--ready-file", str(self._ready_file)]
        command += ["--drain-seconds", str(DRAIN), "--end-with-stdin"]
        return command + (["--resolver", self.resolver] if self.resolver else [])


def chosen_ports(given: str) -> str:
    """What to tell the server: the user's choice, else BASE where its ports are free, else whatever is."""
    if given:
        return given
    return str(BASE) if all(_free(BASE + number) for number in WELL_KNOWN.values()) else "auto"


def _free(port: int) -> bool:
    with socket.socket() as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            end.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def _get(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=_ASK) as answer:
        return bytes(answer.read())


def _told(refusal: report.Refusal) -> str:
    rows = "; ".join(f"{row.kind} {row.name}: {row.message}" for row in refusal.rows)
    return f"{refusal.reason} {rows}".strip()
