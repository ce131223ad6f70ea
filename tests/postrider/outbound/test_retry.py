"""Fates, intervals and reports of queue rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postrider.contract.model import QueuePolicy
from postrider.model.envelope import Notify
from postrider.model.reply import Reply
from postrider.outbound.limits import Concurrency
from postrider.outbound.retry import Attempted, Fate, Report, Row, decide, interval

POLICY = QueuePolicy()
OK, LATER, NO = Reply(250, "2.0.0", ""), Reply(450, "4.0.0", ""), Reply(550, "5.0.0", "")
HOUR = 3600


class Middle:
    def token(self, size: int) -> bytes:
        return bytes(size)

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2


def row(notify: Notify = Notify.DEFAULT, **changes: object) -> Row:
    return Row(**{"created": 0, "attempts": 0, "notify": notify, "delay_told": False, "has_sender": True} | changes)


@pytest.mark.parametrize(
    ("facts", "attempted", "fate", "report"),
    [
        (row(), Attempted(10, OK), Fate.DELIVERED, None),
        (row(Notify.SUCCESS), Attempted(10, OK), Fate.DELIVERED, Report.RELAYED),
        (row(Notify.SUCCESS), Attempted(10, OK, dsn_passed_on=True), Fate.DELIVERED, None),
        (row(Notify.SUCCESS, has_sender=False), Attempted(10, OK), Fate.DELIVERED, None),
        (row(), Attempted(10, NO), Fate.BOUNCED, Report.FAILED),
        (row(Notify.NEVER), Attempted(10, NO), Fate.BOUNCED, None),
        (row(Notify.SUCCESS), Attempted(10, NO), Fate.BOUNCED, None),
        (row(Notify.FAILURE | Notify.SUCCESS), Attempted(10, NO), Fate.BOUNCED, Report.FAILED),
        (row(has_sender=False), Attempted(10, NO), Fate.BOUNCED, None),
        (row(), Attempted(10, LATER), Fate.RETRY, None),
        (row(), Attempted(4 * HOUR, LATER), Fate.RETRY, Report.DELAYED),
        (row(delay_told=True), Attempted(4 * HOUR, LATER), Fate.RETRY, None),
        (row(Notify.FAILURE), Attempted(4 * HOUR, LATER), Fate.RETRY, None),
        (row(Notify.DELAY), Attempted(4 * HOUR, LATER), Fate.RETRY, Report.DELAYED),
        (row(), Attempted(120 * HOUR, LATER), Fate.EXPIRED, Report.FAILED),
        (row(), Attempted(120 * HOUR, OK), Fate.DELIVERED, None),
    ],
)
def test_fates(facts: Row, attempted: Attempted, fate: Fate, report: Report | None) -> None:
    decision = decide(facts, attempted, POLICY, Middle())
    assert (decision.fate, decision.report) == (fate, report)


def test_intervals_double_up_to_the_cap() -> None:
    assert [interval(n, POLICY, Middle()) for n in range(6)] == [300, 600, 1200, 2400, 4020, 4020]
    assert interval(10_000, POLICY, Middle()) == 4020


def test_the_last_attempt_is_when_the_lifetime_ends() -> None:
    decision = decide(row(attempts=100), Attempted(120 * HOUR - 60, LATER), POLICY, Middle())
    assert decision.due == 120 * HOUR


@given(st.integers(0, 200), st.floats(0.8, 1.2))
def test_an_interval_is_never_none(attempts: int, factor: float) -> None:
    class Fixed(Middle):
        def uniform(self, low: float, high: float) -> float:
            return factor

    assert 240 <= interval(attempts, POLICY, Fixed()) <= 4824


def test_concurrency_follows_success() -> None:
    limits = Concurrency()
    assert limits.free("a") == 5
    for _ in range(5):
        limits.take("a")
    assert limits.busy() == ("a",)
    for _ in range(7):
        limits.succeeded("a")
    assert limits.free("a") == 1
    for _ in range(1000):
        limits.succeeded("a")
    assert limits.free("a") == 15
    for _ in range(100):
        limits.failed("a")
    assert limits.free("a") == 0
    for _ in range(5):
        limits.release("a")
    assert limits.free("a") == 1


def test_idle_destinations_are_forgotten() -> None:
    limits = Concurrency()
    limits.failed("slow")
    limits.take("busy")
    for number in range(3000):
        limits.take(str(number))
        limits.release(str(number))
    assert limits.free("slow") == 5
    assert limits.free("busy") == 4
    assert len(limits._windows) <= 1001
