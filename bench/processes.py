"""CPU and memory of a process with everything below it, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tree of processes has used: CPU seconds (children that ended included) and resident bytes now.

    `aside` are the CPU seconds of those that run at a lower priority; `cpu` does not hold them.
    """

    cpu: float
    aside: float
    resident: int


def usage(root: int) -> Usage:
    """Add up the process `root` and all its descendants."""
    parents: dict[int, list[int]] = {}
    stats: dict[int, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended while we looked
            stats[int(entry.name)] = fields
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    ticks = aside = pages = 0
    todo = [root]
    while todo:
        pid = todo.pop()
        todo += parents.get(pid, [])
        if pid in stats:
            # proc(5): utime, stime, cutime, cstime are fields 14 to 17, nice is 19, rss 24; ours begin at field 3.
            used = sum(int(value) for value in stats[pid][11:15])
            if int(stats[pid][16]) > 0:
                aside += used
            else:
                ticks += used
            pages += int(stats[pid][21])
    return Usage(ticks / _TICK, aside / _TICK, pages * _PAGE)
