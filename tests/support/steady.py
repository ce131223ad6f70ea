"""Time and randomness as tests want them."""

from dataclasses import dataclass

NOW = 1_795_000_000.0


@dataclass
class Time:
    """A clock that tests move."""

    at: float = NOW

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@dataclass
class Dice:
    """Randomness that is the same in each run."""

    count: int = 0

    def token(self, size: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(size, "big")

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2
