"""Runs first in each process of a tested server: what runs when a processor is free runs on a busy machine too.

SCHED_IDLE gets some thousandths of the time where others want all of it, and a test that waits for the background
would wait for minutes. How nice the background is stays as it is.
"""

import os

_set = os.sched_setscheduler


def _set_any_but_idle(pid, policy, param):
    if policy != os.SCHED_IDLE:
        _set(pid, policy, param)


os.sched_setscheduler = _set_any_but_idle
