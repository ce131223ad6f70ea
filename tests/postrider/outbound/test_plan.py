"""Which servers take a domain's mail, in which order, from DNS answers alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postrider.model.ports import Answer, Lookup
from postrider.model.reply import Reply
from postrider.outbound import plan
from postrider.outbound.plan import Host

OWN = frozenset({"mx.one.test"})


class Turns:
    """Randomness from a list."""

    def __init__(self, *numbers: float) -> None:
        self._numbers = itertools.cycle(numbers or (0.5,))

    def token(self, size: int) -> bytes:
        return bytes(size)

    def uniform(self, low: float, high: float) -> float:
        return next(self._numbers)


def found(*records: str) -> Lookup:
    return Lookup(Answer.NOERROR, records)


@pytest.mark.parametrize(
    ("lookup", "expected"),
    [
        (found("20 b.test", "10 A.test."), ("a.test", "b.test")),
        (found("10 a.test", "10 a.test"), ("a.test",)),
        (Lookup(Answer.NODATA), ("far.test",)),
        (found(), ("far.test",)),
        (found("0 ."), plan.NULL_MX),
        (found("0"), plan.NULL_MX),
        (found("0 .", "10 a.test"), ("a.test",)),
        (found("10 -not-a-host"), plan.NO_HOST),
        (found("x a.test"), plan.NO_HOST),
        (Lookup(Answer.NXDOMAIN), plan.NO_DOMAIN),
        (Lookup(Answer.TEMPFAIL), plan.DNS_FAILED),
        (found("10 mx.one.test", "20 b.test"), plan.LOOPS),
        (found("10 a.test", "20 MX.one.test", "20 b.test", "30 c.test"), ("a.test",)),
    ],
)
def test_exchangers(lookup: Lookup, expected: Sequence[str] | Reply) -> None:
    assert plan.exchangers("far.test", lookup, OWN, Turns()) == expected


def test_equals_are_shuffled_and_ranks_are_not() -> None:
    lookup = found("10 a.test", "10 b.test", "5 c.test")
    assert plan.exchangers("far.test", lookup, OWN, Turns(0.9, 0.1, 0.99)) == ("c.test", "b.test", "a.test")
    assert plan.exchangers("far.test", lookup, OWN, Turns(0.1, 0.9, 0.99)) == ("c.test", "a.test", "b.test")


def test_addresses_take_turns() -> None:
    hosts = plan.addresses("a.test", found("2001:db8::1", "2001:db8::2"), found("192.0.2.1", "nonsense"))
    assert hosts == (Host("a.test", "2001:db8::1"), Host("a.test", "192.0.2.1"), Host("a.test", "2001:db8::2"))


@pytest.mark.parametrize(
    ("aaaa", "a", "expected"),
    [
        (Answer.NODATA, Answer.NODATA, plan.NO_HOST),
        (Answer.NXDOMAIN, Answer.NXDOMAIN, plan.NO_HOST),
        (Answer.TEMPFAIL, Answer.NODATA, plan.DNS_FAILED),
        (Answer.NODATA, Answer.TEMPFAIL, plan.DNS_FAILED),
    ],
)
def test_hosts_without_address(aaaa: Answer, a: Answer, expected: Reply) -> None:
    assert plan.addresses("a.test", Lookup(aaaa), Lookup(a)) == expected


def test_one_answer_that_may_come_yet_keeps_hope() -> None:
    assert plan.itinerary([plan.NO_HOST, plan.DNS_FAILED]) == plan.DNS_FAILED
    assert plan.itinerary([plan.NO_HOST, plan.NO_HOST]) == plan.NO_HOST
    one = Host("a.test", "192.0.2.1")
    assert plan.itinerary([plan.DNS_FAILED, (one,)]) == (one,)
    assert len(plan.itinerary([(one,) * 8, (one,) * 8])) == plan.MAX_ADDRESSES


def test_literals() -> None:
    assert plan.literal("[192.0.2.1]") == Host("192.0.2.1", "192.0.2.1")
    assert plan.literal("[IPv6:2001:db8::1]") == Host("2001:db8::1", "2001:db8::1")
    assert plan.literal("far.test") is None


@given(st.lists(st.text(max_size=30), max_size=30))
def test_any_records(records: list[str]) -> None:
    names = plan.exchangers("far.test", found(*records), OWN, Turns())
    assert isinstance(names, Reply) or (0 < len(names) <= plan.MAX_HOSTS and not OWN & set(names))
