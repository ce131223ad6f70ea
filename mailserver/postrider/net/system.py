"""The system's clock and randomness, behind their ports."""

from __future__ import annotations

import os
import random
import time


class SystemClock:
    """Reads the system's clocks (model.ports.Clock)."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        return time.monotonic()


class SystemRandom:
    """The kernel's randomness (model.ports.Random)."""

    def __init__(self) -> None:
        self._source = random.SystemRandom()

    def token(self, size: int) -> bytes:
        """`size` unpredictable bytes."""
        return os.urandom(size)

    def uniform(self, low: float, high: float) -> float:
        """A number between low and high."""
        return self._source.uniform(low, high)
