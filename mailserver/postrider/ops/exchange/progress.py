"""How far an import or export is: a bar on a terminal, lines elsewhere; rate and rest."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TextIO

from postrider.model.ports import Clock

#: Seconds between two looks of a bar, and between two lines where nobody looks.
_BAR_EVERY, _LINE_EVERY = 0.2, 10.0
#: Characters of a bar, and of the shortest.
_BAR, _LEAST = 24, 5
#: Those that quotas are declared in.
_UNITS = ("B", "Ki", "Mi", "Gi", "Ti")


@dataclass(slots=True)
class Progress:
    """Tells of work on `total` octets of mail."""

    stream: TextIO
    clock: Clock
    total: int = 0
    messages: int = 0
    octets: int = 0
    _began: float = 0.0
    _next: float = 0.0
    _shown: int = 0

    def begin(self, total: int) -> None:
        """So much is to be done."""
        self.total = total
        self._began = self.clock.monotonic()
        self._next = self._began + self._every

    def advance(self, messages: int, octets: int) -> None:
        """So much more is done."""
        self.messages += messages
        self.octets += octets
        now = self.clock.monotonic()
        if now >= self._next:
            self._next = now + self._every
            self._show(now)

    def complain(self, text: str) -> None:
        """Say something that went wrong, above the bar."""
        self._clear()
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def end(self) -> None:
        """Take the bar away."""
        self._clear()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return self.clock.monotonic() - self._began

    @property
    def _every(self) -> float:
        return _BAR_EVERY if self.stream.isatty() else _LINE_EVERY

    def _show(self, now: float) -> None:
        text = status(self, now - self._began)
        if not self.stream.isatty():
            self.stream.write(f"{text}\n")
        else:
            line = self._bar(text, shutil.get_terminal_size().columns)
            self.stream.write(f"\r{line}{' ' * max(self._shown - len(line), 0)}")
            self._shown = len(line)
        self.stream.flush()

    def _bar(self, text: str, columns: int) -> str:
        """The text behind a bar; where both would fill a line, and so begin another, less of the bar, or none."""
        width = min(_BAR, columns - len(text) - 4)
        if width < _LEAST:
            return text[: columns - 1]
        part = min(self.octets / self.total, 1.0) if self.total else 0.0
        full = int(part * width)
        return f"[{'#' * full}{'.' * (width - full)}] {text}"

    def _clear(self) -> None:
        if self._shown:
            self.stream.write(f"\r{' ' * self._shown}\r")
            self._shown = 0


def status(done: Progress, seconds: float) -> str:
    """ "1,200 messages, 30.1 Mi of 62.5 Mi, 2,400/s, 13 s left"."""
    rate = f"{done.messages / seconds:,.0f}/s" if seconds > 0 else "-/s"
    text = f"{done.messages:,} messages, {size(done.octets)} of {size(done.total)}, {rate}"
    if 0 < done.octets < done.total:
        text += f", {duration(seconds * (done.total - done.octets) / done.octets)} left"
    return text


def size(octets: float) -> str:
    """ "30.1 Mi"."""
    for unit in _UNITS:
        if octets < 1024 or unit == _UNITS[-1]:
            break
        octets /= 1024
    return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"


def duration(seconds: float) -> str:
    """ "13 s", "4 min", "2.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
