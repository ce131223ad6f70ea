"""The job in the background process that keeps Maildirs, where the data directory has its bodies in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from postrider.accounts.directory import Directory
from postrider.app import child
from postrider.contract.model import Snapshot
from postrider.ops.maildir import keeper
from postrider.store import kind, maildir

if TYPE_CHECKING:
    from postrider.app.background import Around


async def keep(around: Around) -> None:
    """Keep Maildirs until cancelled; where bodies are no files there is nothing to do."""
    data = Path(around.settings.data)
    if kind.decided(data) != kind.MAILDIR:
        await asyncio.Event().wait()
    spool = data / "spool" / "maildir"
    child.make_empty(spool)
    ports = keeper.Ports(
        store=around.store,
        directory=_newest(around.snapshot),
        root=data / maildir.ROOT,
        spool=spool,
        clock=around.clock,
        events=around.events,
    )
    await keeper.Keeper(ports).run()


def _newest(snapshot: Callable[[], Snapshot]) -> Callable[[], Directory]:
    """The directory of the present snapshot, made once for each."""
    seen = snapshot()
    directory = Directory(seen)

    def newest() -> Directory:
        nonlocal seen, directory
        if (present := snapshot()) is not seen:
            seen, directory = present, Directory(present)
        return directory

    return newest
