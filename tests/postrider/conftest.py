"""Where tests of parts keep their files, and whom they believe."""

import os

import memory_disk
import pytest


@pytest.fixture
def tmp_path():
    """Opening a store syncs, and on a busy disk that is most of a test's time; whole servers are tested on a disk."""
    with memory_disk.directory() as path:
        yield path


@pytest.fixture(scope="session", autouse=True)
def no_authorities(tmp_path_factory):
    """Nobody here has a certificate of the world's authorities, and each client that reads them takes 25 ms."""
    empty = tmp_path_factory.mktemp("authorities") / "none.pem"
    empty.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "SSL_CERT_FILE", str(empty))
        yield
