"""A disk that fills up: mail waits, the rest goes on, nothing breaks."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import store_filling

MOUNT = "mount -t tmpfs -o size=12m none {disk} && exec {python} {program} {disk}"


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="mounting a small disk needs root")
def test_a_full_disk(tmp_path):
    line = MOUNT.format(disk=tmp_path, python=sys.executable, program=store_filling.__file__)
    probe = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", tmp_path], capture_output=True, check=False
    )
    if probe.returncode:
        pytest.skip(f"no mount namespaces here: {probe.stderr.decode().strip()}")
    run = subprocess.run(["unshare", "-m", "sh", "-c", line], capture_output=True, check=False, timeout=180)
    assert run.returncode == 0, run.stderr.decode()
    said = json.loads(run.stdout)
    assert said.pop("kept") > 20
    assert said == {
        "below the floor": "no-space",
        "append": "no-space",
        "expunge": "ok",
        "flags": "ok",
        "settle": "ok",
        "login": "ok",
        "with space again": "ok",
        "full": "no-space",
        "lost": 0,
        "integrity": "ok",
    }
