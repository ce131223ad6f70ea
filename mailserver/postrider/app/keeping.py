"""The janitor's and the quota warner's job in the background process: when each is at work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from postrider.accounts.directory import Directory
from postrider.app import child
from postrider.contract.model import Snapshot
from postrider.ingest import ports as ingest
from postrider.ingest.pipeline import Ingest
from postrider.net.system import SystemRandom
from postrider.ops import janitor, quota
from postrider.store.transactions import StoreError

if TYPE_CHECKING:
    from postrider.app.background import Around

#: Seconds between two looks at whether something is to be done.
TICK = 2.0
#: Seconds between two of the janitor's rounds, and two looks at quotas; each is drawn from this part of it.
SWEEP_EVERY = 600.0
WARN_EVERY = 30.0
JITTER = (0.8, 1.2)


async def keep(around: Around) -> None:
    """Sweep and warn until cancelled; a new generation is asked for its legal holds and quotas at once."""
    work = _Work(around)
    random, clock = SystemRandom(), around.clock
    due: dict[str, float] = {"sweep": clock.monotonic() + TICK, "warn": clock.monotonic()}
    rows: dict[str, tuple[Callable[[float], Awaitable[None]], float]] = {
        "sweep": (work.janitor.run_once, SWEEP_EVERY),
        "warn": (work.warner.run_once, WARN_EVERY),
    }
    while True:
        try:
            if work.renew():
                await work.janitor.hold()
                due["warn"] = clock.monotonic()
            for name, (run_once, every) in rows.items():
                if clock.monotonic() >= due[name]:
                    due[name] = clock.monotonic() + every * random.uniform(*JITTER)
                    await run_once(clock.now())
        except StoreError:  # a full disk, say: the next round begins with what this one left
            around.events.emit("server.failure", where="janitor", exc_info=True)
        await asyncio.sleep(TICK)


class _Work:
    """The two who work, and the directory they see."""

    def __init__(self, around: Around) -> None:
        self._snapshot = around.snapshot
        self._seen: Snapshot | None = None
        self._directory = Directory(around.snapshot())
        spool = Path(around.settings.data) / "spool" / "background"
        child.make_empty(spool)
        taking = ingest.Ports(
            store=around.store,
            directory=self._present,
            clock=around.clock,
            random=SystemRandom(),
            events=around.events,
            metrics=around.metrics,
            spool=spool,
        )
        self.janitor = janitor.Janitor(
            janitor.Ports(
                store=around.store,
                directory=self._present,
                clock=around.clock,
                events=around.events,
                metrics=around.metrics,
            )
        )
        self.warner = quota.Warner(
            quota.Ports(
                store=around.store,
                directory=self._present,
                ingest=Ingest(taking),
                random=SystemRandom(),
                events=around.events,
                metrics=around.metrics,
            )
        )

    def renew(self) -> bool:
        """Take the present generation; whether it is another one."""
        present = self._snapshot()
        if present is self._seen:
            return False
        self._seen, self._directory = present, Directory(present)
        return True

    def _present(self) -> Directory:
        return self._directory
