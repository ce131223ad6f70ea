"""A child process whose work fails ends at once, whatever its threads are doing."""

import json
import socket
import subprocess
import sys

import msgspec

from postrider.supervise.settings import Settings

CHILD = """
import socket, sys
import msgspec
from postrider.app import writer
from postrider.supervise.settings import Settings
sys.exit(writer.run(msgspec.json.decode(sys.argv[1], type=Settings), 0, socket.socket(fileno=int(sys.argv[2]))))
"""


def test_a_writer_that_hears_nonsense_lets_the_data_directory_go(tmp_path):
    (tmp_path / "run").mkdir()
    settings = Settings(
        snapshot=str(tmp_path), data=str(tmp_path / "data"), runtime=str(tmp_path / "run"), ports={}, allow_tmpfs=True
    )
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-c", CHILD, msgspec.json.encode(settings).decode(), str(theirs.fileno())]
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE) as child:
        theirs.close()
        ours.settimeout(60)
        assert json.loads(ours.recv(100)) == {"type": "Ready"}
        ours.sendall(b'{"type":"Loaded","generation":1}\n')
        _, log = child.communicate(timeout=60)
    assert child.returncode == 1
    told = [json.loads(line) for line in log.splitlines()]
    assert [(line["event"], line["where"]) for line in told if line["level"] == "error"] == [
        ("server.failure", "writer-0")
    ]
