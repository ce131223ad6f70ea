"""Waits for what is to come, and no longer."""

import time


def wait_until(it_is_so, seconds=60):
    """Raises AssertionError when it is not so in time: the background gives way to everybody, and may need long."""
    end = time.monotonic() + seconds
    while not it_is_so():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.02)
