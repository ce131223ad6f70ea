"""Ports are held for the group, and another program's are named."""

import socket

import pytest

from postrider.supervise import sockets


def test_reserved_port_is_shared_by_the_group():
    held = sockets.reserve("127.0.0.1", {"smtp": 0})
    port = held["smtp"].getsockname()[1]
    with sockets.bound("127.0.0.1", port) as first, sockets.bound("127.0.0.1", port) as second:
        first.listen()
        second.listen()
        assert first.getsockname() == second.getsockname()
    held["smtp"].close()


def test_port_of_another_program_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(sockets.PortTaken, match=rf"127\.0\.0\.1:{port} \(imap\)"):
            sockets.reserve("127.0.0.1", {"smtp": 0, "imap": port})


def test_port_of_another_group_is_not_shared_in_silence():
    held = sockets.reserve("127.0.0.1", {"smtp": 0})
    port = held["smtp"].getsockname()[1]
    with sockets.bound("127.0.0.1", port) as front:
        front.listen()
        with pytest.raises(sockets.PortTaken):
            sockets.reserve("127.0.0.1", {"smtp": port})
    held["smtp"].close()
