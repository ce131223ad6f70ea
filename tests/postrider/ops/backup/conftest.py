"""A place for backups: a directory, or a bucket of a real server."""

import pytest
from buckets import Faults

from postrider.ops.backup.bucket import Bucket
from postrider.ops.backup.folder import Folder


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
