"""Delays: free tries, doubling, places in the queue, forgetting, and a bound on memory."""

from postrider.accounts.delays import FIRST_DELAY, LONGEST_DELAY, WINDOW, Allowance, Delays

THREE = Allowance(failures=3, abreast=2)


def fail(delays: Delays, now: float, key: str = "k", times: int = 1) -> None:
    for _ in range(times):
        delays.begin(key, now, THREE)
        delays.end(key, now, failed=True)


def test_some_failures_are_free() -> None:
    delays = Delays()
    fail(delays, 0.0, times=2)
    assert delays.wait("k", 0.0, THREE) == 0.0
    fail(delays, 0.0)
    assert delays.wait("k", 0.0, THREE) == FIRST_DELAY
    assert delays.wait("other", 0.0, THREE) == 0.0


def test_each_further_failure_doubles_the_delay_up_to_a_limit() -> None:
    delays, now, waits = Delays(), 0.0, []
    fail(delays, now, times=3)
    for _ in range(12):
        waits.append(delays.wait("k", now, THREE))
        now += waits[-1]
        fail(delays, now)
    assert waits == sorted(waits)
    assert waits[-1] <= LONGEST_DELAY + FIRST_DELAY
    assert waits[-1] >= LONGEST_DELAY


def test_tries_that_wait_queue_behind_each_other() -> None:
    delays = Delays()
    fail(delays, 0.0, times=3)
    waits = []
    for _ in range(4):
        waits.append(delays.wait("k", 0.0, THREE))
        delays.begin("k", 0.0, THREE)
    assert waits == [1.0, 2.0, 3.0, 4.0]


def test_many_tries_at_once_wait_though_none_has_failed_yet() -> None:
    delays = Delays()
    delays.begin("k", 0.0, THREE)
    delays.begin("k", 0.0, THREE)
    assert delays.wait("k", 0.0, THREE) == FIRST_DELAY
    delays.end("k", 0.0, failed=False)
    assert delays.wait("k", 0.0, THREE) == 0.0


def test_failures_are_forgotten_after_the_window() -> None:
    delays = Delays()
    fail(delays, 0.0, times=9)
    assert delays.wait("k", WINDOW, THREE) > 0
    assert delays.wait("k", WINDOW + 1, THREE) == 0.0


def test_failures_are_forgiven() -> None:
    delays = Delays()
    fail(delays, 0.0, times=9)
    delays.forgive("k")
    delays.forgive("unheard of")
    assert delays.wait("k", 0.0, THREE) == 0.0


def test_who_never_failed_is_not_remembered() -> None:
    delays = Delays()
    delays.begin("k", 0.0, THREE)
    delays.end("k", 0.0, failed=False)
    assert len(delays) == 0


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    delays = Delays(entries=10)
    for n in range(100):
        fail(delays, float(n) / 100, key=f"k{n}", times=3)
    assert len(delays) == 10
    assert delays.wait("k0", 1.0, THREE) == 0.0
    assert delays.wait("k99", 1.0, THREE) > 0.0


def test_ending_a_forgotten_try_still_counts_its_failure() -> None:
    delays = Delays(entries=1)
    delays.begin("k", 0.0, THREE)
    fail(delays, 0.0, key="other")
    delays.end("k", 0.0, failed=True)
    assert len(delays) == 1
