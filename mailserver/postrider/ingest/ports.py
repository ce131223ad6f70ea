"""What ingest needs from outside, and the first word about each message that arrives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from postrider.accounts.directory import Directory
from postrider.ingest.message import Arrival
from postrider.model.envelope import Envelope, Source
from postrider.model.ports import Clock, Random
from postrider.store.ports import Store
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What ingest needs from outside."""

    store: Store
    directory: Callable[[], Directory]
    clock: Clock
    random: Random
    events: Events
    metrics: Metrics
    #: Where large messages are spooled; on the same disk as the packs, so that a full disk shows early.
    spool: Path


def arrive(source: Source, envelope: Envelope, ports: Ports) -> Arrival:
    """A message has come: it gets its id and its time."""
    return Arrival(ports.random.token(10).hex(), source, envelope, ports.clock.now())
