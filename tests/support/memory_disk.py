"""A directory whose syncs cost nothing, where the machine has one: for tests that make many stores."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

SHARED = "/dev/shm"


@contextmanager
def directory():
    """It is gone afterwards, with all that is in it."""
    path = Path(tempfile.mkdtemp(prefix="postrider-", dir=SHARED if os.access(SHARED, os.W_OK) else None))
    try:
        yield path
    finally:
        shutil.rmtree(path)
