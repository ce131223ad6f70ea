"""What local mode prints, and the ready file for scripts: where it listens, who may log in, what to try."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postrider.contract import dns
from postrider.contract.dns import Record
from postrider.contract.model import Snapshot
from postrider_operator.local.generated import Generated

#: Names of the listeners, what they are for and how they come to TLS.
_LISTENERS = (
    ("smtp", "mail exchanger", "STARTTLS"),
    ("submission", "sending, with login", "STARTTLS"),
    ("submissions", "sending, with login", "TLS"),
    ("imap", "reading", "STARTTLS"),
    ("imaps", "reading", "TLS"),
    ("health", "/livez /readyz /status", ""),
    ("metrics", "/metrics", ""),
)


@dataclass(frozen=True, slots=True)
class Serving:
    """Everything there is to tell."""

    listeners: Mapping[str, str]
    snapshot: Snapshot
    #: Address -> generated password, or None where the user gave one.
    logins: Mapping[str, str | None]
    #: The PEM that signs our certificate.
    ca: Path

    def records(self) -> tuple[Record, ...]:
        """The DNS records of all domains."""
        found = self.snapshot
        return tuple(
            record
            for domain in found.domains
            for record in dns.wanted_records(found.server, domain, (k for k in found.keys if k.domain == domain.name))
        )


def logins(snapshot: Snapshot, generated: Generated) -> dict[str, str | None]:
    """Address -> password for every mailbox; None where it was not us who made it."""
    made = {row["metadata"]["uid"]: row for row in generated.of("Secret")}
    found: dict[str, str | None] = {}
    for mailbox in snapshot.mailboxes:
        row = made.get(mailbox.password_source.split("/", 1)[0])
        found[mailbox.address] = base64.b64decode(row["data"]["password"]).decode() if row else None
    return found


def as_json(serving: Serving) -> dict[str, Any]:
    """The ready file's content."""
    return {
        "listeners": dict(serving.listeners),
        "mailboxes": [
            {"address": address, **({"password": password} if password else {})}
            for address, password in serving.logins.items()
        ],
        "ca": str(serving.ca),
        "dns": [
            {"name": record.name, "type": record.type, "ttl": record.ttl, "value": record.value}
            for record in serving.records()
        ],
    }


def text(serving: Serving) -> str:
    """What people read when it serves."""
    snapshot = serving.snapshot
    sections = [
        f"Postrider serves {snapshot.server.hostname} (generation {snapshot.generation}).",
        _table("Listeners", ((n, serving.listeners[n], t, w) for n, w, t in _LISTENERS if n in serving.listeners)),
        _table("Logins", ((address, password or "as you set it") for address, password in serving.logins.items())),
        "DNS records to publish\n" + "".join(f"  {line}\n" for line in dns.zone_file(serving.records()).splitlines()),
        *_examples(serving),
    ]
    return "\n".join(sections)


def _examples(serving: Serving) -> Iterable[str]:
    known = [(address, password) for address, password in serving.logins.items() if password]
    if not known:
        return ()
    sender, receiver = known[0], known[-1]
    ca = shlex.quote(str(serving.ca))
    letter = rf"From: {sender[0]}\r\nTo: {receiver[0]}\r\nSubject: Hello\r\n\r\nIt works.\r\n"
    send = (
        f"  printf {shlex.quote(letter)} | \\\n"
        f"    curl -sS --ssl-reqd --cacert {ca} --user {shlex.quote(':'.join(sender))} \\\n"
        f"    --mail-from {sender[0]} --mail-rcpt {receiver[0]} --upload-file - smtp://{serving.listeners['submission']}\n"
    )
    read = (
        f"  curl -sS --cacert {ca} --user {shlex.quote(':'.join(receiver))} \\\n"
        f"    'imaps://{serving.listeners['imaps']}/INBOX;MAILINDEX=*'\n"
    )
    return f"Send a mail\n{send}", f"Read it\n{read}"


def _table(title: str, rows: Iterable[tuple[str, ...]]) -> str:
    table = [tuple(row) for row in rows]
    if not table:
        return f"{title}\n  none\n"
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)
    return f"{title}\n" + "".join(f"  {line}\n" for line in lines)
