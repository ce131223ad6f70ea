"""Housekeeping in turns: between two batches one portion of one job, as large as has taken little time before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from postrider.model.ports import Clock

#: Seconds that a portion may take: whoever asks for something meanwhile waits for so long.
LITTLE = 0.01
#: Seconds between looks at what a thread does, and at whether there is something to do.
SOON = 0.02
IDLE = 60.0


class Portion:
    """How much is done at once, in whatever the job counts: less where it took long, more where it did not."""

    def __init__(self, most: int, least: int) -> None:
        self._most = most
        self._least = least
        self._size = float(most) / 4

    @property
    def size(self) -> int:
        """Of the next portion."""
        return max(int(self._size), self._least)

    def took(self, seconds: float) -> None:
        """A portion of this size took so long."""
        if seconds > LITTLE / 2:  # half of it is aimed at: now and then one takes twice as long as the last
            self._size = max(self._size * max(LITTLE / 2 / seconds, 1 / 4), self._least)
        elif seconds < LITTLE / 4:
            self._size = min(self._size * 1.25, self._most)


@dataclass(slots=True)
class Job:
    """One kind of housekeeping. `name` is what its metric says."""

    name: str
    #: Seconds until it has something to do, 0 for now. Asked between any two batches: it costs nothing.
    waits: Callable[[], float]
    #: Does a portion, and tells whether it could be written.
    step: Callable[[], bool]
    portion: Portion = field(default_factory=lambda: Portion(1, 1))
    #: Not before this moment: it failed.
    rests_until: float = 0.0


class Rota:
    """The jobs of one writer. `observe` is told how long a portion of which job took, in seconds."""

    def __init__(self, jobs: Sequence[Job], clock: Clock, observe: Callable[[str, float], object]) -> None:
        self._jobs = list(jobs)
        self._clock = clock
        self._observe = observe

    def turn(self) -> float:
        """One portion of the job whose turn it is; seconds until there is more to do, 0 for now."""
        waits = [self._waits(job) for job in self._jobs]
        if min(waits) > 0:
            return min(waits)
        job = next(job for job, seconds in zip(self._jobs, waits, strict=True) if seconds <= 0)
        self._jobs.remove(job)
        self._jobs.append(job)  # the others come first next time
        start = self._clock.monotonic()
        went_well = job.step()
        end = self._clock.monotonic()
        job.portion.took(end - start)
        self._observe(job.name, end - start)
        if not went_well:
            job.rests_until = end + IDLE
        return min(self._waits(job) for job in self._jobs)

    def _waits(self, job: Job) -> float:
        return max(job.waits(), job.rests_until - self._clock.monotonic(), 0.0)
