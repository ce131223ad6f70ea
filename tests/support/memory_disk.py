"""A directory whose syncs cost nothing, where the machine has one: for tests that make many stores."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

SHARED = "/dev/shm"
#: Octets that tests which run at once may need; containers often have 64 MiB there.
ENOUGH = 1 << 30


@contextmanager
def directory():
    """It is gone afterwards, with all that is in it."""
    there = os.access(SHARED, os.W_OK) and shutil.disk_usage(SHARED).free > ENOUGH
    path = Path(tempfile.mkdtemp(prefix="postrider-", dir=SHARED if there else None))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)  # threads of a writer that was left as it was may still be at work
