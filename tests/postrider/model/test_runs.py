"""Runs behave as the sets of numbers they stand for."""

from hypothesis import given
from hypothesis import strategies as st

from postrider.model.runs import common, counted, follow, missing, runs_of, size, united, without

NUMBERS = st.sets(st.integers(1, 40))


def of(numbers: set[int]) -> list[tuple[int, int]]:
    return runs_of(sorted(numbers))


@given(NUMBERS, NUMBERS)
def test_as_sets(some: set[int], others: set[int]) -> None:
    assert list(counted(of(some))) == sorted(some)
    assert size(of(some)) == len(some)
    assert common(of(some), of(others)) == of(some & others)
    assert united(of(others) + of(some)) == of(some | others)
    assert without(of(some), sorted(others)) == of(some - others)
    assert missing(of(some), 30) == of(set(range(1, 30)) - some)


@given(NUMBERS, st.integers(1, 40))
def test_in_parts_they_are_as_at_once(some: set[int], cut: int) -> None:
    found: list[tuple[int, int]] = []
    follow(found, of({number for number in some if number < cut}))
    follow(found, of({number for number in some if number >= cut}))
    assert found == of(some)


def test_numbers_in_another_order_stay_in_it() -> None:
    assert runs_of([5, 6, 2, 3, 3, 9]) == [(5, 6), (2, 3), (3, 3), (9, 9)]
