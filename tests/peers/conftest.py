"""A server, and a Postfix beside it, for the programs of other projects."""

import shutil
import tempfile
import time
from pathlib import Path

import pytest
from running import Running, snapshot

from bench import postfix
from postrider.contract import tls


@pytest.fixture
def server(tmp_path):
    ca = tls.make_ca(time.time())
    (tmp_path / "ca.pem").write_text(ca.certificate)
    flags = ("--listen-address", "127.0.0.1", "--ports", "auto", "--resolver", "127.0.0.1:1")
    server = Running(tmp_path, tmp_path / "ca.pem", flags)
    server.publish(snapshot(ca), wait=False)
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture
def need():
    """Skip where a program is missing, and say which."""

    def check(*programs):
        for program in programs:
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed")

    return check


@pytest.fixture
def postfix_root():
    """A folder that Postfix's own users may enter; pytest's are root's alone."""
    if reason := postfix.missing():
        pytest.skip(reason)
    # Its processes end a little later than its master.
    with tempfile.TemporaryDirectory(prefix="postrider-postfix-", ignore_cleanup_errors=True) as path:
        root = Path(path)
        root.chmod(0o755)
        yield root
