"""The one error type that crosses outward: an SMTP-shaped reply (RFC 5321 §4.2, RFC 3463)."""

from __future__ import annotations

import msgspec


class Reply(msgspec.Struct, frozen=True):
    """What we tell the other side. `text` may hold several lines joined by newlines; it never holds exception text."""

    code: int
    enhanced: str
    text: str

    @property
    def ok(self) -> bool:
        """True for 2xx and 3xx."""
        return self.code < 400

    @property
    def permanent(self) -> bool:
        """True for 5xx: trying again is useless."""
        return self.code >= 500

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}"


#: For everything unexpected: the cause goes to the log, never to the peer.
LOCAL_ERROR = Reply(451, "4.3.0", "Local error in processing, try again later")


class Refused(Exception):
    """Carries a reply from where its cause is known to the edge that says it."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply
