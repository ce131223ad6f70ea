"""CPU and memory of a process with everything below it, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tree of processes has used: CPU seconds (children that ended included) and resident bytes now."""

    cpu: float
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
    ticks = pages = 0
    todo = [root]
    while todo:
        pid = todo.pop()
        todo += parents.get(pid, [])
        if pid in stats:
            # proc(5): utime, stime, cutime and cstime are fields 14 to 17, rss is 24; ours begin at field 3.
            ticks += sum(int(value) for value in stats[pid][11:15])
            pages += int(stats[pid][21])
    return Usage(ticks / _TICK, pages * _PAGE)
