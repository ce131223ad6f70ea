"""Servers for the tests of this folder: one that tests share, and others of their own where they break something."""

import itertools
import os
import time

import msgspec
import pytest
from running import Running, free_base, snapshot
from zones import Zones

from postrider.contract import dkim, files, tls
from postrider.contract.model import Alias, Limits, QueuePolicy

#: Mailboxes of the shared server: no test finds another's mail.
USERS = [f"{name}{number}" for number in range(40) for name in ("alice", "bob")]
_numbers = itertools.count(1)
_networks = itertools.count(2)


@pytest.fixture(scope="session")
def ca():
    return tls.make_ca(time.time())


@pytest.fixture
def zones():
    yield from serve_zones()


@pytest.fixture(scope="session")
def shared_zones():
    yield from serve_zones()


def serve_zones():
    zones = Zones()
    yield zones
    zones.close()


class Servers:
    """Starts servers below one directory and ends them all."""

    def __init__(self, directory, ca):
        self.directory = directory
        self.running = []
        (directory / "ca.pem").write_text(ca.certificate)

    def make(self, snapshot, *, ports="auto", resolver="127.0.0.1:1", address="127.0.0.1", start=True):
        directory = self.directory / f"server-{len(self.running)}"
        directory.mkdir()
        flags = ("--listen-address", address, "--ports", str(ports), "--resolver", resolver, "--drain-seconds", "5")
        server = Running(directory, self.directory / "ca.pem", flags)
        self.running.append(server)
        server.publish(snapshot, wait=False)
        return server.start() if start else server

    def end(self):
        for server in self.running:
            server.kill()


@pytest.fixture
def make_server(tmp_path, ca):
    """Starts servers of the test's own: make_server(snapshot, ports=..., resolver=...)."""
    servers = Servers(tmp_path, ca)
    yield servers.make
    servers.end()


@pytest.fixture(scope="session")
def servers(tmp_path_factory, ca):
    """Starts servers that go on for all tests."""
    servers = Servers(tmp_path_factory.mktemp("servers"), ca)
    yield servers
    servers.end()


@pytest.fixture(scope="session")
def always(servers, ca):
    """One server: one.test signs with Ed25519, two.test with RSA, and there are aliases."""
    limits = Limits(message_bytes=150_000, received_fields=20)
    declared = snapshot(ca, domains=("one.test", "two.test"), users=USERS, limits=limits)
    one, two = declared.keys
    two = msgspec.structs.replace(two, algorithm="RSA", pem=dkim.generate("RSA"))
    aliases = (
        Alias(address="team@two.test", targets=("alice0@two.test", "bob0@two.test")),
        Alias(address="*@two.test", targets=("bob0@two.test",)),
    )
    return servers.make(files.normal(msgspec.structs.replace(declared, keys=(one, two), aliases=aliases)))


@pytest.fixture
def shared(always):
    """A server for tests that leave it as it was, but for mail and the mailboxes of `alice` and `bob`."""
    return revived(always)


@pytest.fixture
def server(make_server, ca):
    """A server of the test's own."""
    return make_server(snapshot(ca))


@pytest.fixture(scope="session")
def always_two(servers, ca, shared_zones):
    return make_two(servers.make, ca, shared_zones)


@pytest.fixture
def shared_two(always_two):
    """Two servers that find each other by MX on the same port of their own addresses; see `shared`."""
    return [revived(server) for server in always_two]


@pytest.fixture
def two(make_server, ca, zones):
    """Two such servers of the test's own."""
    return make_two(make_server, ca, zones)


def revived(server):
    """A test that failed may have left it dead: that is no failure of the tests that follow."""
    return server if server.process.poll() is None else server.start()


def make_two(make, ca, zones):
    base = free_base()
    queue = QueuePolicy(smtp_port=base + 25, first_retry=1, max_retry=2)
    made = []
    for name in ("one", "two"):
        zones.add(f"{name}.test", "MX", f"10 mx.{name}.test.")
        zones.add(f"mx.{name}.test", "A", address := own_address())
        declared = snapshot(ca, f"mx.{name}.test", (f"{name}.test",), USERS, queue=queue)
        made.append(make(declared, ports=base, resolver=zones.address, address=address))
    return made


def own_address():
    """A loopback address that no other test, in whatever process, has."""
    pid = os.getpid()
    return f"127.{next(_networks)}.{pid >> 8 & 255}.{pid & 255}"


@pytest.fixture
def number():
    """Of the mailboxes that no other test uses on shared servers."""
    return next(_numbers)


@pytest.fixture
def alice(number):
    return f"alice{number}@one.test"


@pytest.fixture
def bob(number):
    return f"bob{number}@one.test"
