"""How replies look on the wire (RFC 5321 §4.2, RFC 2034), and the replies the receiving engine gives by itself."""

from __future__ import annotations

import functools
from typing import Final

from postrider.model.reply import Reply

OK: Final = Reply(250, "2.0.0", "Ok")
START_MAIL: Final = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
BYE: Final = Reply(221, "2.0.0", "Bye")
READY_FOR_TLS: Final = Reply(220, "2.0.0", "Ready to start TLS")
TIMED_OUT: Final = Reply(421, "4.4.2", "Timeout, closing connection")
SHUTTING_DOWN: Final = Reply(421, "4.3.2", "Service is shutting down, try again later")
TOO_MANY_CONNECTIONS: Final = Reply(421, "4.7.0", "Too many connections, try again later")
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "Too many errors, closing connection")
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients")

UNKNOWN: Final = Reply(500, "5.5.1", "Command not recognised")
BAD_BYTES: Final = Reply(500, "5.5.2", "Command holds control characters")
BARE_LF: Final = Reply(500, "5.5.2", "Lines must end with CRLF")
TOO_LONG: Final = Reply(500, "5.5.2", "Line is too long")
FOREIGN_PROTOCOL: Final = Reply(500, "5.5.1", "This is SMTP")
HELLO_FIRST: Final = Reply(503, "5.5.1", "Say EHLO first")
NOT_NOW: Final = Reply(503, "5.5.1", "Bad sequence of commands")
NO_RECIPIENTS: Final = Reply(554, "5.5.1", "No valid recipients")
NEEDS_BDAT: Final = Reply(503, "5.5.1", "A BINARYMIME message is sent with BDAT")  # RFC 3030 §3
NOT_AVAILABLE: Final = Reply(502, "5.5.1", "Command is not available")
CANNOT_VERIFY: Final = Reply(252, "2.0.0", "Cannot verify; send mail and see")  # RFC 5321 §3.5.3
TLS_ALREADY: Final = Reply(503, "5.5.1", "TLS is active already")

TLS_FIRST: Final = Reply(530, "5.7.0", "Must issue a STARTTLS command first")  # RFC 3207 §4
AUTH_FIRST: Final = Reply(530, "5.7.0", "Authentication required")  # RFC 4954 §6
AUTH_WANTS_TLS: Final = Reply(538, "5.7.11", "Encryption required for authentication")
AUTH_ALREADY: Final = Reply(503, "5.5.1", "Already authenticated")
AUTH_UNKNOWN: Final = Reply(504, "5.5.4", "Unrecognised authentication mechanism")
AUTH_CANCELLED: Final = Reply(501, "5.7.0", "Authentication cancelled")
AUTH_TOO_LONG: Final = Reply(500, "5.5.6", "Authentication exchange line is too long")
AUTH_UNAVAILABLE: Final = Reply(454, "4.7.0", "Temporary authentication failure")

_MAX_TEXT = 480  # RFC 5321 §4.5.3.1.5: 512 octets with code and CRLF


def syntax_error(syntax: str) -> Reply:
    """What to say about a command that is written otherwise."""
    return Reply(501, "5.5.4", f"Syntax: {syntax}")


@functools.lru_cache(maxsize=256)
def encode(reply: Reply) -> bytes:
    """The reply in lines, each with its codes (RFC 2034 §4); text is ASCII without control characters."""
    lead = f"{reply.enhanced} " if reply.enhanced else ""
    lines = [_plain(lead + line) for line in reply.text.split("\n")]
    return numbered(reply.code, lines)


def numbered(code: int, lines: list[str]) -> bytes:
    """Lines of one reply: all but the last with a hyphen."""
    wire = [f"{code}-{line}\r\n" for line in lines[:-1]]
    wire.append(f"{code} {lines[-1]}\r\n")
    return "".join(wire).encode("ascii")


def _plain(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text[:_MAX_TEXT]
    return "".join(sign if " " <= sign <= "~" else "?" for sign in text[:_MAX_TEXT])
