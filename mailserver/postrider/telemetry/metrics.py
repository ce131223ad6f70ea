"""The table of metrics, and their prometheus form; all processes of a server are added up by the supervisor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


@dataclass(frozen=True, slots=True)
class Metric:
    """One row: what is counted, in which unit, split by which labels (never by anything a stranger can choose)."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


METRICS: Mapping[str, Metric] = {
    "postrider_open_connections": Metric("gauge", "Open client connections.", ("listener",)),
    "postrider_connections_total": Metric("counter", "Client connections accepted.", ("listener",)),
    "postrider_messages_accepted_total": Metric("counter", "Messages answered 250 by this process.", ("source",)),
    "postrider_replies_total": Metric("counter", "Refusals, by source and reply class.", ("source", "class")),
    "postrider_accept_seconds": Metric("histogram", "From the final dot to the reply.", ("source",)),
    "postrider_logins_total": Metric("counter", "Logins.", ("protocol", "result")),
    "postrider_delivery_attempts_total": Metric("counter", "Outbound attempts.", ("result",)),
    "postrider_commit_seconds": Metric("histogram", "From a batch's first write to its last sync."),
    "postrider_commit_batch": Metric("histogram", "Transactions in a batch.", (), (1, 2, 4, 8, 16, 32, 64, 128, 256)),
    "postrider_housekeeping_seconds": Metric(
        "histogram",
        "What the writer did at once between two batches, which wait for it.",
        ("job",),
        (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1),
    ),
    "postrider_store_keys_missing": Metric(
        "gauge", "Keys of accounts that cannot be opened: their master key is missing."
    ),
    "postrider_store_clear_messages": Metric(
        "gauge", "Messages in mailboxes and queue from before encryption was switched on that still lie in the clear."
    ),
    "postrider_search_indexed_total": Metric("counter", "Messages put into the search index."),
    "postrider_search_waiting_messages": Metric("gauge", "Messages not in the search index yet; they are scanned."),
    "postrider_quota_filled": Metric(
        "gauge", "Mailboxes, and domains, at or above a percentage of their quota.", ("what", "percent")
    ),
    "postrider_quota_warnings_total": Metric("counter", "Users warned that their mailbox fills up.", ("percent",)),
    "postrider_held_accounts": Metric("gauge", "Accounts under legal hold."),
    "postrider_removed_messages_total": Metric("counter", "Messages removed by time, by what ended.", ("why",)),
    "postrider_removed_bytes_total": Metric("counter", "Octets of messages removed by time.", ("why",)),
    "postrider_janitor_round_timestamp_seconds": Metric(
        "gauge", "When the janitor's last round began, seconds since the epoch."
    ),
    "postrider_wal_bytes": Metric("gauge", "Size of the database's write-ahead log in bytes."),
}


_Series = Counter | Gauge | Histogram


class Metrics:
    """The metrics of one process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._series: dict[str, _Series] = {name: _make(name, row, self.registry) for name, row in METRICS.items()}
        #: Name and labels -> the series they mean: looking it up in prometheus_client costs more than counting.
        self._children: dict[tuple[object, ...], Any] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter, or to a gauge (amount may be negative there)."""
        if METRICS[name].kind == "histogram":
            raise TypeError(f"{name} is a histogram: use observe")
        self._child(name, labels).inc(amount)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Put a value into a histogram, or set a gauge."""
        match METRICS[name].kind:
            case "histogram":
                self._child(name, labels).observe(value)
            case "gauge":
                self._child(name, labels).set(value)
            case "counter":
                raise TypeError(f"{name} is a counter: use count")

    def _child(self, name: str, labels: Mapping[str, str]) -> Any:
        key = (name, *labels.items())
        child = self._children.get(key)
        if child is None:
            series = self._series[name]
            child = self._children[key] = series.labels(**labels) if labels else series
        return child


def _make(name: str, row: Metric, registry: CollectorRegistry) -> _Series:
    match row.kind:
        case "counter":
            return Counter(name, row.help, row.labels, registry=registry)
        case "gauge":
            return Gauge(name, row.help, row.labels, registry=registry, multiprocess_mode="livesum")
        case "histogram":
            return Histogram(name, row.help, row.labels, registry=registry, buckets=row.buckets)
