"""AUTH (RFC 4954): which logins are possible when, and the exchange in base64 lines."""

from __future__ import annotations

from postrider.model.reply import Refused, Reply
from postrider.protocols.sasl import Challenge, Credentials, Exchange, SaslError
from postrider.protocols.smtp import wording as say
from postrider.protocols.smtp.offer import ServerConfig


def begin(argument: bytes, config: ServerConfig, *, secured: bool) -> tuple[Exchange, Challenge | Credentials]:
    """What follows AUTH. Raises Refused: logins belong to submission, and no password is to be shown in clear."""
    if not config.submission:
        raise Refused(say.NOT_AVAILABLE)
    if not secured:
        raise Refused(say.AUTH_WANTS_TLS)
    mechanism, _, initial = argument.partition(b" ")
    name = mechanism.decode("ascii", "replace").upper()
    if name not in config.auth_mechanisms:
        raise Refused(say.AUTH_UNKNOWN)
    exchange = Exchange(name)
    try:
        return exchange, exchange.begin(initial.strip() or None)
    except SaslError as error:
        raise _refusal(error) from None


def go_on(exchange: Exchange, line: bytes) -> Challenge | Credentials:
    """The client's answer to a challenge. Raises Refused."""
    try:
        return exchange.answer(line)
    except SaslError as error:
        raise _refusal(error) from None


def _refusal(error: SaslError) -> Refused:
    return Refused(say.AUTH_CANCELLED if error.cancelled else Reply(501, "5.5.2", f"Login failed: {error}"))
