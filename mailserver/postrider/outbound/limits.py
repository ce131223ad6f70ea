"""How many connections a destination gets at once: feedback lets it grow with success and shrink with failure."""

from __future__ import annotations

from dataclasses import dataclass

#: As Postfix schedules: begin with 5, never more than 20.
INITIAL = 5.0
LARGEST = 20.0
#: Destinations whose window is remembered while nothing goes there.
REMEMBERED = 1000


@dataclass(slots=True)
class _Window:
    allowed: float = INITIAL
    used: int = 0


class Concurrency:
    """Windows of all destinations of a runner."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}

    def free(self, destination: str) -> int:
        """Connections that may be opened now."""
        window = self._windows.get(destination)
        return int(INITIAL) if window is None else max(0, int(window.allowed) - window.used)

    def take(self, destination: str) -> None:
        """A connection is opened."""
        self._windows.setdefault(destination, _Window()).used += 1

    def release(self, destination: str) -> None:
        """A connection is closed."""
        window = self._windows[destination]
        window.used -= 1
        if not window.used:
            # The most recently used are last; the oldest idle ones are forgotten.
            self._windows[destination] = self._windows.pop(destination)
            if len(self._windows) > REMEMBERED:
                idle = next((name for name, one in self._windows.items() if not one.used), None)
                if idle is not None:
                    del self._windows[idle]

    def succeeded(self, destination: str) -> None:
        """A transaction went through: one more connection for each window full of them."""
        window = self._windows.setdefault(destination, _Window())
        window.allowed = min(LARGEST, window.allowed + 1 / window.allowed)

    def failed(self, destination: str) -> None:
        """The destination could not be talked to: one less, never none."""
        window = self._windows.setdefault(destination, _Window())
        window.allowed = max(1.0, window.allowed - 1)

    def busy(self) -> tuple[str, ...]:
        """Destinations that get no further connection now."""
        return tuple(name for name in self._windows if not self.free(name))
