"""A certificate for loopback and both event loops."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import Callable

import pytest
import trustme

from postrider.contract.model import Limits
from postrider.edge.listener import Admission, Surroundings
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

try:
    from uvloop import new_event_loop as fast_loop
except ImportError:
    fast_loop = asyncio.new_event_loop


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The driver is tested on the loop of the standard library too, everything else on the one that is used."""
    if item.path.name == "test_driver.py":
        return {"asyncio": asyncio.new_event_loop, "uvloop": fast_loop}
    return {"uvloop": fast_loop}


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def make_surroundings(log: io.StringIO) -> Callable[..., Surroundings]:
    def make(limits: Limits | None = None) -> Surroundings:
        found = limits or Limits()
        return Surroundings(Events(log), Metrics(), Admission(lambda: found))

    return make
