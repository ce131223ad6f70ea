"""Stage 7, announce: one log event and the counters, for operators. Never content; the change feed is the store's."""

from __future__ import annotations

from dataclasses import dataclass

from postrider.ingest.message import Arrival
from postrider.model.reply import Reply
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

#: Recipients that are named in a log event; the number tells of the rest.
NAMED = 10


@dataclass(frozen=True, slots=True)
class Announcer:
    """Where things are told."""

    events: Events
    metrics: Metrics

    def accepted(self, arrival: Arrival, *, size: int, stored: int, queued: int, seconds: float) -> None:
        """The message is durable."""
        source = arrival.source.value
        self.metrics.count("postrider_messages_accepted_total", source=source)
        self.metrics.observe("postrider_accept_seconds", seconds, source=source)
        self.events.emit("smtp.accepted", **_who(arrival), size=size, stored=stored, queued=queued)

    def refused(self, arrival: Arrival, reply: Reply) -> None:
        """The message was not taken; nothing of it is kept."""
        labels = {"source": arrival.source.value, "class": f"{reply.code // 100}xx"}
        self.metrics.count("postrider_replies_total", 1, **labels)
        self.events.emit("smtp.refused", **_who(arrival), reply=str(reply))


def _who(arrival: Arrival) -> dict[str, object]:
    envelope = arrival.envelope
    return {
        "id": arrival.id,
        "source": arrival.source.value,
        "ip": envelope.peer.ip,
        "login": envelope.peer.login,
        "sender": str(envelope.sender or ""),
        "recipients": [str(one.address) for one in envelope.recipients[:NAMED]],
        "recipient_count": len(envelope.recipients),
    }
