"""Verdicts, and the examiners that facts come from."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence

import pytest

from postrider.contract.model import Limits
from postrider.ingest.examine import Examiner, Subject, examine
from postrider.ingest.judge import judge
from postrider.ingest.spool import Spooled
from postrider.model.envelope import Envelope, Source
from postrider.model.facts import Fact, Facts
from postrider.store.values import Body
from postrider.telemetry.events import Events

LIMITS = Limits(message_bytes=100, received_fields=3)


@pytest.mark.parametrize(
    ("facts", "refusal"),
    [
        (Facts(100, 3), ""),
        (Facts(101, 3), "552 5.3.4"),
        (Facts(100, 4), "554 5.4.6"),
        (Facts(1, 0, (Fact("author", "pass"),)), ""),
        (Facts(1, 0, (Fact("author", "none"),)), ""),
        (Facts(1, 0, (Fact("author", "temperror"),)), ""),
        (Facts(1, 0, (Fact("author", "fail", "far.test"),)), "550 5.7.1"),
    ],
)
def test_verdicts(facts: Facts, refusal: str) -> None:
    verdict = judge(facts, LIMITS)
    assert (str(verdict.refuse)[:9] if verdict.refuse else "") == refusal


async def test_examiners_run_side_by_side_and_none_holds_up_the_others() -> None:
    met = asyncio.Barrier(2)

    async def together(subject: Subject) -> Sequence[Fact]:
        await met.wait()
        return (Fact("spf", "pass"),)

    async def broken(subject: Subject) -> Sequence[Fact]:
        raise ValueError("internal")

    async def slow(subject: Subject) -> Sequence[Fact]:
        await asyncio.Event().wait()
        return ()

    rows = (
        Examiner("spf", together, 5),
        Examiner("dkim", together, 5),
        Examiner("dmarc", broken, 5),
        Examiner("arc", slow, 0.01),
    )
    log = io.StringIO()
    subject = Subject(Spooled(Body(b"", 7), b"", 2, eight_bit=False), Envelope(None), Source.MX)
    facts = await examine(subject, {Source.MX: rows}, Events(log))
    assert [(fact.method, fact.result) for fact in facts.findings] == [
        ("spf", "pass"), ("spf", "pass"), ("dmarc", "temperror"), ("arc", "temperror"),
    ]  # fmt: skip
    assert (facts.size, facts.received_count) == (7, 2)
    assert "examiner dmarc" in log.getvalue()
    assert (await examine(subject, {}, Events(log))).findings == ()
