"""Who has a bucket alone: every command that writes leaves a mark there, and renews it for as long as it lives.

Each has a mark of its own name, puts it down first and looks for others then: of two at once at least one sees the
other (S3 shows what was written to whoever asks afterwards), and no server needs to know conditional requests. A mark
that was not renewed for long is a dead one's. Ages are told by the server's clock alone: against one's own mark.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from postrider.ops.backup.place import BackupError

#: The folder of marks.
LOCKS = "locks"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a mark is renewed, how soon after that its owner stops, when another takes it for dead; in seconds.

    What its owner began at the last moment has ended by then: a small request is given up after `small`, with all its
    repetitions (one takes half a minute at most). Large ones may take their time: what they bring nobody knows yet.
    """

    renew: float = 20
    doubt: float = 60
    dead: float = 180
    small: float = 60
    large: float = 300


class Marks(Protocol):
    """A bucket, as far as marks are concerned."""

    @property
    def title(self) -> str:
        """Where it is."""
        ...

    def mark(self, name: str, content: bytes) -> None:
        """Put a mark down, or renew it. Raises BackupError."""
        ...

    def marks(self) -> dict[str, tuple[float, str]]:
        """All that are there: when the server got each, and which version of it that is. Raises BackupError."""
        ...

    def unmark(self, name: str) -> None:
        """Take a mark away. Raises BackupError."""
        ...


class Owner(msgspec.Struct):
    """What a mark says, for people."""

    host: str
    pid: int
    alive: str


@dataclass(slots=True)
class Lease:
    """The mark of one command."""

    place: Marks
    pace: Pace
    told: Callable[[str], object]
    name: str = ""
    _renewed: float = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Have the bucket alone. Raises BackupError."""
        self.name = f"{LOCKS}/{secrets.token_hex(8)}"
        keeper = threading.Thread(target=self._keep, daemon=True)
        self._renew()
        try:
            keeper.start()
            self._wait()
            yield
        finally:
            self._ended.set()
            keeper.join()
            with contextlib.suppress(BackupError):  # a dead one's mark ends by itself
                self.place.unmark(self.name)

    def check(self) -> None:
        """Raises BackupError where others may think that this command died, or once did."""
        if self._doubtful():
            raise BackupError(f"{self.place.title} did not answer for {self.pace.doubt:.0f} seconds: try again")

    def _doubtful(self) -> bool:
        return _seconds() - self._renewed > self.pace.doubt

    def _renew(self) -> None:
        before = _seconds()
        owner = Owner(socket.gethostname(), os.getpid(), datetime.datetime.now(datetime.UTC).isoformat())
        self.place.mark(self.name, msgspec.json.encode(owner))
        self._renewed = before

    def _keep(self) -> None:
        """Once it is doubtful it stays so: another may have been here meanwhile."""
        while not self._ended.wait(self.pace.renew) and not self._doubtful():
            with contextlib.suppress(BackupError):  # `check` knows
                self._renew()

    def _wait(self) -> None:
        """Until nobody else is there. Raises BackupError when somebody is, and lives."""
        first: dict[str, tuple[float, str]] = {}
        while True:
            there = self.place.marks()
            now, _ = there.pop(self.name, (0.0, ""))
            for name, (when, version) in there.items():
                if now - when >= self.pace.dead:
                    self.place.unmark(name)
                elif first.setdefault(name, (when, version)) != (when, version):
                    raise BackupError(f"another command is at work in {self.place.title}: wait for its end")
            if not there:
                return
            self.told("waiting for another command, or for the end of what a dead one left")
            time.sleep(self.pace.renew / 10)


def _seconds() -> float:
    """Of a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
