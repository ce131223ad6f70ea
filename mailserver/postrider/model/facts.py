"""Facts: what the checks found about a message. They hold no opinion; `verdict` does."""

from __future__ import annotations

import msgspec


class Fact(msgspec.Struct, frozen=True):
    """One finding of one examiner, in the words of Authentication-Results (RFC 8601 §2.2)."""

    method: str  # "spf", "dkim", "dmarc", "arc", "iprev", "content"
    result: str  # "pass", "fail", "none", "temperror", "permerror" ...
    reason: str = ""
    #: ptype.property -> value, as in {"smtp.mailfrom": "a@example.test"}.
    properties: tuple[tuple[str, str], ...] = ()


class Facts(msgspec.Struct, frozen=True):
    """Everything known about a message when it is judged."""

    size: int
    received_count: int
    findings: tuple[Fact, ...] = ()
