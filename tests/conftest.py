"""Property tests are the same in every run, and take the time a busy machine needs; a server that speaks S3."""

import gc
import itertools
import tempfile

import pytest
from buckets import BUCKET, Moto, environment
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("repeatable")
_prefixes = itertools.count(1)


def pytest_collection_finish():
    """What was imported and collected stays to the end: nobody need look through it for garbage again and again."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def temporary():
    """What processes leave that tests kill goes when they all have ended; Unix sockets need a short path."""
    made = tempfile.TemporaryDirectory(prefix="postrider-", ignore_cleanup_errors=True)
    with made as path, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", path)
        yield


@pytest.fixture(scope="session")
def moto():
    server = Moto()
    yield server
    server.close()


@pytest.fixture
def bucket(moto, monkeypatch):
    """The name of an empty prefix; the environment says where it is."""
    for name, value in environment(moto.endpoint).items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/prefix/{next(_prefixes)}"
