"""A place for backups: a directory, or a bucket of a real server."""

import itertools

import pytest
from buckets import BUCKET, Faults, Moto, environment

from postrider.ops.backup.bucket import Bucket
from postrider.ops.backup.folder import Folder

_prefixes = itertools.count(1)


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


@pytest.fixture
def faults(bucket, moto, monkeypatch):
    """What stands between us and the bucket."""
    proxy = Faults(moto.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    yield proxy
    proxy.close()


@pytest.fixture(params=["directory", "bucket"])
def place(request, tmp_path):
    if request.param == "bucket":
        return Bucket(request.getfixturevalue("bucket"))
    return Folder(tmp_path / "shelf")
