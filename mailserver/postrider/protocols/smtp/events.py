"""What the two SMTP engines hand out: values, each of which says whether it wants an answer."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from postrider.model.address import Address
from postrider.model.envelope import Envelope, Recipient
from postrider.model.reply import Reply


class Event(msgspec.Struct, frozen=True):
    """The common shape: immutable."""


# -- the receiving engine (protocols.smtp.server) ------------------------------------------------------------------


class Connected(Event, frozen=True):
    """The first event of a connection. Answer 2xx to be greeted with 220, anything else is said and then Closed."""


class Hello(Event, frozen=True):
    """HELO or EHLO (`extended`). On 2xx the engine itself lists the extensions."""

    name: str
    extended: bool


class AuthAttempt(Event, frozen=True):
    """A finished SASL exchange. Answer with answer_auth; the password is not kept."""

    mechanism: str
    login: str
    password: str

    def __repr__(self) -> str:
        return f"AuthAttempt(mechanism={self.mechanism!r}, login={self.login!r})"


class MailFrom(Event, frozen=True):
    """MAIL, well-formed and permitted so far. `sender` None is the null reverse-path; `size` 0 where not declared."""

    sender: Address | None
    size: int


class RcptTo(Event, frozen=True):
    """RCPT, well-formed. On 2xx the recipient joins the envelope."""

    recipient: Recipient


class Body(Event, frozen=True):
    """The next bytes of the message, dots unstuffed. No answer: ask for the next event when they are taken care of."""

    data: bytes


class Discarded(Event, frozen=True):
    """The message under way is void (refused, reset, too large): drop its bytes. No answer, no EndOfMessage follows."""


class EndOfMessage(Event, frozen=True):
    """The message is complete. 2xx may be answered when, and only when, it is durable."""

    envelope: Envelope


# -- the sending engine (protocols.smtp.client) --------------------------------------------------------------------


class Ready(Event, frozen=True):
    """The server is ready for a message. Answer with send(envelope) or quit().

    `capabilities` maps the EHLO keywords, in capitals, to their parameters; empty after HELO.
    """

    capabilities: Mapping[str, str]
    secured: bool


class WantBody(Event, frozen=True):
    """The server waits for the message. Answer with body(chunk), b"" when there is no more."""


class Outcome(Event, frozen=True):
    """A transaction is over. `replies` are in the order of envelope.recipients, the server's own words where it spoke.

    `uncertain`: the connection broke after the final dot was sent, so the message may have been accepted.
    """

    replies: tuple[Reply, ...]
    uncertain: bool = False


class Failed(Event, frozen=True):
    """No message can be sent over this connection; no transaction was under way. Closed follows.

    `stage` is "connect", "ehlo", "starttls", "auth" or "idle".
    """

    reply: Reply
    stage: str
