"""Debounce, backoff and full looks of dirty keys."""

from hypothesis import given
from hypothesis import strategies as st

from postrider_operator.dirty import Dirty, Pace

PACE = Pace(debounce=0.25, longest=2.0, first_backoff=1.0, longest_backoff=60.0)


def test_a_mark_is_due_after_the_debounce() -> None:
    dirty: Dirty[str] = Dirty(PACE)
    dirty.mark("a", 10.0)
    assert dirty.take(10.2) is None
    assert dirty.next_due() == 10.25
    assert dirty.take(10.25) == "a"
    assert dirty.next_due() is None


def test_marks_that_never_pause_are_waited_for_no_longer_than_the_longest() -> None:
    dirty: Dirty[str] = Dirty(PACE)
    now = 0.0
    while dirty.take(now) is None:
        dirty.mark("a", now)
        now += 0.1
        assert now < 2.2
    assert now > 1.9


def test_what_is_marked_during_the_work_is_due_again_afterwards() -> None:
    dirty: Dirty[str] = Dirty(PACE)
    dirty.mark("a", 0.0)
    assert dirty.take(1.0) == "a"
    dirty.mark("a", 1.1)
    assert dirty.take(5.0) is None
    assert dirty.next_due() is None
    dirty.done("a")
    assert dirty.take(5.0) == "a"


def test_failures_double_the_pause_up_to_the_longest() -> None:
    dirty: Dirty[str] = Dirty(PACE)
    pauses = [dirty.failed("a", 0.0) for _ in range(9)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert dirty.take(59.9) is None
    dirty.done("a")
    assert dirty.failed("a", 100.0) == 1


def test_news_cut_a_long_pause_short() -> None:
    dirty: Dirty[str] = Dirty(PACE)
    for _ in range(7):
        dirty.failed("a", 0.0)
    dirty.mark("a", 10.0)
    assert dirty.next_due() == 12.0


def test_a_later_look_does_not_delay_and_a_change_is_not_delayed_by_it() -> None:
    dirty: Dirty[str] = Dirty(PACE)
    dirty.mark("a", 0.0, after=600.0)
    dirty.mark("a", 100.0)
    assert dirty.take(100.25) == "a"
    dirty.done("a")
    dirty.mark("a", 200.0)
    dirty.mark("a", 200.0, after=600.0)
    assert dirty.take(200.25) == "a"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.0, 1.0)), max_size=60))
def test_no_mark_is_ever_lost_nor_worked_on_twice_at_once(marks: list[tuple[str, float]]) -> None:
    dirty: Dirty[str] = Dirty(PACE)
    now, working, owed = 0.0, set[str](), set[str]()
    for key, step in marks:
        now += step
        dirty.mark(key, now)
        owed.add(key)
        taken = dirty.take(now)
        if taken is not None:
            assert taken not in working
            working.add(taken)
            owed.discard(taken)
        elif working:
            dirty.done(working.pop())
    for key in working:
        dirty.done(key)
    now += 100.0
    while (taken := dirty.take(now)) is not None:
        owed.discard(taken)
        dirty.done(taken)
    assert not owed
    assert len(dirty) == 0
