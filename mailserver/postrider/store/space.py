"""Whether the disk has room for more mail, looked at a few times a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from postrider.store import directory
from postrider.store.writer import Options

_EVERY = 0.25


class Space:
    """The space of one data directory. `low` is told how many octets are free when it falls below the floor."""

    def __init__(self, path: Path, options: Options, low: Callable[[int], object]) -> None:
        self._path = path
        self._options = options
        self._low = low
        self._until = 0.0
        self._enough = True

    def enough(self) -> bool:
        """Whether intake may go on."""
        options, moment = self._options, self._options.clock.monotonic()
        if moment >= self._until:
            free, size = directory.free_space(self._path)
            had = self._enough
            self._enough = free >= min(options.floor_bytes, int(size * options.floor_part))
            self._until = moment + _EVERY
            if had and not self._enough:
                self._low(free)
        return self._enough
