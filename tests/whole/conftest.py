"""Servers for the tests of this folder, each on ports of its own."""

import time

import pytest
from running import Running, free_base, snapshot
from zones import Zones

from postrider.contract import tls
from postrider.contract.model import QueuePolicy


@pytest.fixture(scope="session")
def ca():
    return tls.make_ca(time.time())


@pytest.fixture
def zones():
    zones = Zones()
    yield zones
    zones.close()


@pytest.fixture
def make_server(tmp_path, ca):
    """Starts servers, each on an address of its own: make_server(snapshot, base=..., resolver=...)."""
    running = []
    (tmp_path / "ca.pem").write_text(ca.certificate)

    def make(snapshot, *, ports="auto", resolver="127.0.0.1:1", address="127.0.0.1", start=True):
        directory = tmp_path / f"server-{len(running)}"
        directory.mkdir()
        flags = ("--listen-address", address, "--ports", str(ports), "--resolver", resolver, "--drain-seconds", "5")
        server = Running(directory, tmp_path / "ca.pem", flags)
        running.append(server)
        server.publish(snapshot, wait=False)
        return server.start() if start else server

    yield make
    for server in running:
        server.kill()


@pytest.fixture
def server(make_server, ca):
    return make_server(snapshot(ca))


@pytest.fixture
def two(make_server, ca, zones):
    """Two servers that find each other by MX on the same port of their own addresses."""
    base = free_base()
    queue = QueuePolicy(smtp_port=base + 25, first_retry=1, max_retry=2)
    made = []
    for number, name in ((2, "one"), (3, "two")):
        zones.add(f"{name}.test", "MX", f"10 mx.{name}.test.")
        zones.add(f"mx.{name}.test", "A", f"127.0.0.{number}")
        declared = snapshot(ca, f"mx.{name}.test", (f"{name}.test",), queue=queue)
        made.append(make_server(declared, ports=base, resolver=zones.address, address=f"127.0.0.{number}"))
    return made
