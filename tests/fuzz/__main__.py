"""`make fuzz`, or `python -m tests.fuzz [--seconds N] [--seed N] [--only I]`: hostile mail for the scanner.

Each input is made from the seed and its number alone: what is printed for a failure makes the same input again.
"""

from __future__ import annotations

import argparse
import random
import resource
import secrets
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import mime_rules
from tests.fuzz import growth
from tests.fuzz.messages import hostile

from postrider.mime.addresses import parse_addresses
from postrider.mime.cached import from_cache, to_cache
from postrider.mime.encoding import decode_transfer, decoder
from postrider.mime.parse import examine
from postrider.mime.text import fold, header_texts, searchable
from postrider.protocols.imap.events import Section
from postrider.protocols.imap.sections import locate, select_fields
from postrider.protocols.imap.structure import body_structure, envelope

#: CPU seconds that one input may take, and that make it worth telling.
MOST = 2.0
FOUND = Path(".fuzz")


class TooSlow(Exception):
    """An input took longer than MOST."""


def scanned(data: bytes) -> None:
    """All that is done to a message when it comes in and when it is searched."""
    content, _ = examine(data, b"Date: today\r\n")
    for text in searchable(data, content):
        fold(text)
    for _, value in header_texts(data[: content.root.body]):
        fold(value)


def tried(data: bytes, rng: random.Random) -> None:
    """Everything that touches what a stranger wrote; raises when something does not hold."""
    content, keys = examine(data, b"Date: today\r\n")
    mime_rules.check(data, content)
    if any(len(key) != 16 for key in keys):
        raise AssertionError("a thread key has another size")
    for text in searchable(data, content):
        fold(text).encode()
    for name, value in header_texts(data[: content.root.body]):
        fold(name + value).encode()
    for part in (envelope(content.envelope), body_structure(content.root, extended=True)):
        if part.count(b"\x00"):
            raise AssertionError("NUL in a string")
    _sections(data, content, rng)
    parse_addresses(data[: rng.randrange(len(data) + 1)][-2000:])
    select_fields(data[: content.root.body], [b"subject"], exclude=True)
    cached = bytearray(to_cache(content))
    cached[rng.randrange(len(cached))] = rng.randrange(256)
    from_cache(bytes(cached))


def _sections(data, content, rng: random.Random) -> None:
    for number, part in list(mime_rules.numbered(content.root))[:50]:
        place = locate(Section(b"", number), content, len(data))
        if place is None or data[place.span.start : place.span.end] != data[part.body : part.end]:
            raise AssertionError(f"part {number} lies elsewhere")
        decoding = decoder(place.encoding)
        step = rng.choice([1, 3, 77, 5000]) if part.end - part.body < 5000 else 5000
        pieces = [decoding.feed(data[at : min(at + step, part.end)]) for at in range(part.body, part.end, step)]
        if b"".join([*pieces, decoding.finish()]) != decode_transfer(data[part.body : part.end], place.encoding):
            raise AssertionError(f"part {number} is decoded otherwise in pieces")


def _inputs(seed: int, only: int | None) -> Iterator[tuple[int, bytes, random.Random]]:
    corpus = [path.read_bytes() for path in mime_rules.collected()]
    print(f"seed {seed}, {len(corpus)} messages of the collections", flush=True)
    number = only or 0
    while True:
        rng = random.Random(f"{seed}:{number}")
        yield number, hostile(rng, corpus), rng
        if only is not None:
            return
        number += 1


def _too_slow(_: int, frame: FrameType | None) -> None:
    raise TooSlow(f"more than {MOST} s of CPU")


def _run(seed: int, seconds: float, only: int | None) -> int:
    signal.signal(signal.SIGPROF, _too_slow)
    end, tell, failures, count, slowest = time.monotonic() + seconds, time.monotonic() + 60, 0, 0, (0.0, 0)
    for number, data, rng in _inputs(seed, only):
        start = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, MOST)
        try:
            tried(data, rng)
        except Exception:
            failures += 1
            FOUND.mkdir(exist_ok=True)
            (FOUND / f"{seed}-{number}.eml").write_bytes(data)
            traceback.print_exc()
            print(f"^ --seed {seed} --only {number}; the input is in {FOUND}", flush=True)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        slowest = max(slowest, (time.process_time() - start, number))
        count += 1
        if failures >= 10 or time.monotonic() > end:
            break
        if time.monotonic() > tell:
            tell += 60
            print(f"{count} inputs, {failures} failures", flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{count} inputs, {failures} failures; slowest {slowest[0] * 1000:.0f} ms (--only {slowest[1]}); {memory} MiB"
    )
    return failures


def main() -> int:
    """Status 1 when anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    parser.add_argument("--only", type=int, metavar="I", help="the input with this number alone")
    arguments = parser.parse_args()
    slow = [] if arguments.only is not None else growth.slow(scanned)
    for one in slow:
        print(f"not linear: {one}")
    print(f"{len(growth.FAMILIES)} ways to grow, {len(slow)} of them too slow", flush=True)
    return 1 if _run(arguments.seed, arguments.seconds, arguments.only) or slow else 0


if __name__ == "__main__":
    sys.exit(main())
