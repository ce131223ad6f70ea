"""Ports of the group: chosen and held by the supervisor, shared by the fronts through SO_REUSEPORT."""

from __future__ import annotations

import socket
from collections.abc import Mapping


class PortTaken(OSError):
    """Another program holds the port."""


def reserve(address: str, ports: Mapping[str, int]) -> dict[str, socket.socket]:
    """Bind each listener's port without listening, so that it stays ours while fronts come and go.

    Port 0 becomes a free one. Raises PortTaken naming the listener, or OSError for an address that is not ours.
    """
    held: dict[str, socket.socket] = {}
    try:
        for name, port in ports.items():
            held[name] = _bind(name, address, port)
    except OSError:
        for end in held.values():
            end.close()
        raise
    return held


def _bind(name: str, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        if port:
            # SO_REUSEPORT would let two servers share a port in silence: a bind without it finds the other one.
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
                probe.listen(1)
        return bound(address, port)
    except OSError as error:
        raise PortTaken(error.errno, f"cannot listen on {address}:{port} ({name}): {error.strerror}") from error


def bound(address: str, port: int) -> socket.socket:
    """A socket bound to a port that the processes of a group share."""
    end = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        end.bind((address, port))
    except OSError:
        end.close()
        raise
    return end
