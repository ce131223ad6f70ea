"""Waits for what is to come, and no longer."""

import time


def wait_until(it_is_so, seconds=30):
    """Raises AssertionError when it is not so in time."""
    end = time.monotonic() + seconds
    while not it_is_so():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.02)
