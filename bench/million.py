"""A mailbox with a million messages beside a hundred accounts: SELECT, and what a client asks after it."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path

from bench import large
from bench.postrider import Postrider

COUNT = 1_000_000


def run(_count: int, rounds: int) -> None:
    """Print a row for each command: the first time in a new server, and the median of later sessions."""
    root = Path(tempfile.mkdtemp(prefix="postrider-bench-"))
    server = Postrider(root, (large.OWNER, *large.OTHERS))
    begun = time.perf_counter()
    large.fill(root / "data", COUNT)
    took = time.perf_counter() - begun
    print(f"{COUNT} messages in one mailbox, {len(large.OTHERS)} other accounts; made in {took:.0f} s")
    try:
        server.start()
        figures: dict[str, list[float]] = {}
        for _ in range(max(rounds, 3) + 1):
            client = large.Imap(server.place("imaps"), large.OWNER)
            for what, line in commands():
                figures.setdefault(what, []).append(client.ask(line)[0])
            client.close()
        print(f"{'':44} {'first':>10} {'then':>10}")
        for what, (first, *then) in figures.items():
            print(f"{what:44} {first * 1000:7.1f} ms {statistics.median(then) * 1000:7.1f} ms", flush=True)
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)


def commands() -> list[tuple[str, str]]:
    """What a client asks, in this order."""
    middle = COUNT // 2
    return [
        ("STATUS", "STATUS INBOX (MESSAGES UNSEEN UIDNEXT)"),
        ("SELECT", "SELECT INBOX"),
        ("the first FETCH by sequence number after it", f"FETCH {middle} (UID FLAGS)"),
        ("the next", f"FETCH {middle + 1} (UID FLAGS)"),
        ("FETCH of the newest 50 with ENVELOPE", f"FETCH {COUNT - 49}:{COUNT} (UID FLAGS ENVELOPE)"),
        ("UID FETCH of one body", f"UID FETCH {middle} BODY.PEEK[]"),
        ("NOOP", "NOOP"),
    ]
