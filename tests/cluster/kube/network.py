"""Network namespaces with addresses of 198.18.0.0/15, set aside for tests: nothing in them can leave the machine."""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kube.runs import Run

T = TypeVar("T")
BRIDGE = "node0"
NODE_ADDRESS = "198.18.0.1"
CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Namespace:
    """A named network namespace."""

    name: str
    address: str

    @classmethod
    def new(cls, run: Run, name: str, address: str) -> "Namespace":
        """Makes it, with its loopback up; the run's end takes it away."""
        made = cls(f"postrider-{run.id}-{name}", address)
        run.register("netns", made.name)
        ip("netns", "add", made.name)
        made.ip("link", "set", "lo", "up")
        return made

    @property
    def prefix(self) -> tuple[str, ...]:
        """What to put before a command. Not `ip netns exec`: it remounts /sys, and the kubelet finds no cgroups."""
        return ("nsenter", f"--net=/run/netns/{self.name}")

    def ip(self, *args: str) -> None:
        """The command `ip`, inside."""
        ip("-n", self.name, *args)

    def inside(self, work: Callable[[], T]) -> T:
        """Calls `work` in a thread that has entered the namespace; sockets made there stay there."""
        answers: list[tuple[T | None, BaseException | None]] = []

        def enter() -> None:
            try:
                handle = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
                try:
                    if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                finally:
                    os.close(handle)
                answers.append((work(), None))
            except BaseException as error:  # handed to the caller below
                answers.append((None, error))

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        answer, error = answers[0]
        if error is not None:
            raise error
        return answer  # type: ignore[return-value]

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """A connection from inside the namespace."""
        return self.inside(lambda: socket.create_connection((host, port), timeout))


def ip(*args: str) -> None:
    """The command `ip`."""
    subprocess.run(["ip", *args], check=True, capture_output=True)


def node_namespace(run: Run) -> Namespace:
    """The node's namespace: a bridge serves as its interface (not every kernel has the dummy driver)."""
    node = Namespace.new(run, "node", NODE_ADDRESS)
    node.ip("link", "add", BRIDGE, "type", "bridge")
    node.ip("addr", "add", f"{NODE_ADDRESS}/20", "dev", BRIDGE)
    node.ip("link", "set", BRIDGE, "up")
    node.ip("route", "add", "default", "dev", BRIDGE)
    node.inside(lambda: _write("/proc/sys/net/ipv4/ip_forward", "1"))
    return node


def outside_host(run: Run, node: Namespace, name: str, number: int) -> Namespace:
    """A host outside the cluster, on the node's network, so that clients' addresses can be seen to be kept."""
    host = Namespace.new(run, name, f"198.18.0.{number}")
    ip("link", "add", "eth0", "netns", host.name, "type", "veth", "peer", "name", f"host{number}", "netns", node.name)
    node.ip("link", "set", f"host{number}", "master", BRIDGE, "up")
    host.ip("addr", "add", f"{host.address}/20", "dev", "eth0")
    host.ip("link", "set", "eth0", "up")
    host.ip("route", "add", "default", "via", node.address)
    return host


def _write(path: str, text: str) -> Any:
    return Path(path).write_text(text)
