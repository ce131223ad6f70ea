"""Data directories of commands."""

import memory_disk
import pytest


@pytest.fixture
def tmp_path():
    """Each command opens the store, and opening it syncs: on a busy disk that is most of a test's time."""
    with memory_disk.directory() as path:
        yield path
