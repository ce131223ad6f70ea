"""Stage 2, examine: the table of examiners, run side by side, each within its own time. Facts, no verdicts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from postrider.ingest.spool import Spooled
from postrider.model.envelope import Envelope, Source
from postrider.model.facts import Fact, Facts
from postrider.telemetry.events import Events


class Subject(msgspec.Struct, frozen=True):
    """What is examined."""

    spooled: Spooled
    envelope: Envelope
    source: Source


@dataclass(frozen=True, slots=True)
class Examiner:
    """One row: a method of Authentication-Results (RFC 8601), what finds it out, and the seconds it has."""

    method: str
    run: Callable[[Subject], Awaitable[Sequence[Fact]]]
    seconds: float


#: Which examiners a message of each source meets.
Examiners = Mapping[Source, Sequence[Examiner]]


async def examine(subject: Subject, examiners: Examiners, events: Events) -> Facts:
    """Every fact about the message. An examiner that fails or is late finds `temperror` and stops nobody."""
    rows = examiners.get(subject.source, ())
    if not rows:
        found: Sequence[Sequence[Fact]] = ()
    else:
        found = await asyncio.gather(*(_run(row, subject, events) for row in rows))
    return Facts(
        size=subject.spooled.body.size,
        received_count=subject.spooled.received_count,
        findings=tuple(fact for facts in found for fact in facts),
    )


async def _run(row: Examiner, subject: Subject, events: Events) -> Sequence[Fact]:
    try:
        async with asyncio.timeout(row.seconds):
            return await row.run(subject)
    except TimeoutError:
        return (Fact(row.method, "temperror", f"not known within {row.seconds:g} s"),)
    except Exception:
        events.emit("server.failure", where=f"examiner {row.method}", exc_info=True)
        return (Fact(row.method, "temperror", "the check failed"),)
