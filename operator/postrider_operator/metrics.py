"""The operator's metrics: a table, and their Prometheus form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector


@dataclass(frozen=True, slots=True)
class Metric:
    """One row: what is counted, in which unit, split by which labels."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


METRICS: Mapping[str, Metric] = {
    "postrider_operator_leader": Metric("gauge", "1 while this replica acts."),
    "postrider_operator_reconciles_total": Metric("counter", "Reconciliations of a MailServer.", ("result",)),
    "postrider_operator_reconcile_seconds": Metric("histogram", "From the start of a reconciliation to its end."),
    "postrider_operator_writes_total": Metric("counter", "Writes to the API server.", ("kind", "verb", "result")),
    "postrider_operator_skipped_total": Metric("counter", "Applies left out because nothing differed.", ("kind",)),
    "postrider_operator_dirty": Metric("gauge", "MailServers waiting to be reconciled."),
    "postrider_operator_objects": Metric("gauge", "Objects in the operator's picture.", ("kind",)),
    "postrider_operator_dns_questions_total": Metric("counter", "DNS questions asked.", ("answer",)),
    "postrider_operator_generation": Metric("gauge", "Snapshot generation wanted.", ("namespace", "server")),
    "postrider_operator_loaded": Metric("gauge", "Lowest generation a ready pod serves.", ("namespace", "server")),
}


class Metrics:
    """The metrics of this process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._series = {name: _make(name, row, self.registry) for name, row in METRICS.items()}

    def count(self, name: str, **labels: str) -> None:
        """Add one to a counter."""
        series = self._series[name]
        if not isinstance(series, Counter):
            raise TypeError(f"{name} is not a counter: use observe")
        (series.labels(**labels) if labels else series).inc()

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge, or put a value into a histogram."""
        series = self._series[name]
        if isinstance(series, Counter):
            raise TypeError(f"{name} is a counter: use count")
        child = series.labels(**labels) if labels else series
        if isinstance(child, Histogram):
            child.observe(value)
        else:
            child.set(value)

    def forget(self, name: str, *labels: str) -> None:
        """Take back a series whose object is gone."""
        self._series[name].remove(*labels)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)


def _make(name: str, row: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    match row.kind:
        case "counter":
            return Counter(name, row.help, row.labels, registry=registry)
        case "gauge":
            return Gauge(name, row.help, row.labels, registry=registry)
        case "histogram":
            return Histogram(name, row.help, row.labels, registry=registry)
