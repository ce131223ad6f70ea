"""Waits for what is to come, and no longer."""

import time

#: Seconds: a machine that others use too may take many times as long as a quiet one.
PATIENCE = 180


def wait_until(it_is_so, seconds=PATIENCE):
    """Raises AssertionError when it is not so in time: the background gives way to everybody, and may need long."""
    end = time.monotonic() + seconds
    while not it_is_so():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.02)
