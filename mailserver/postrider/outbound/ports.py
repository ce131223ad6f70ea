"""What outbound needs from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from postrider.accounts.directory import Directory
from postrider.ingest.pipeline import Ingest
from postrider.model.ports import Clock, Dialer, Random, Resolver
from postrider.store.ports import Store
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a runner needs from outside."""

    store: Store
    ingest: Ingest
    directory: Callable[[], Directory]
    resolver: Resolver
    dialer: Dialer
    clock: Clock
    random: Random
    events: Events
    metrics: Metrics
