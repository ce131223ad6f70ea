"""What a listener offers: its settings, and how EHLO and HELP tell of them."""

from __future__ import annotations

import functools

import msgspec

from postrider.model.reply import Reply
from postrider.protocols.sasl import MECHANISMS
from postrider.protocols.smtp.commands import COMMANDS
from postrider.protocols.smtp.wording import numbered


class ServerConfig(msgspec.Struct, frozen=True):
    """What one listener offers and where its limits are."""

    #: Our name in the greeting and in EHLO.
    hostname: str
    #: Octets of a message (RFC 1870).
    max_size: int = 50 * 1024 * 1024
    #: RFC 6409: nobody sends without having logged in, and logging in needs TLS.
    submission: bool = False
    #: STARTTLS is offered until it was used.
    tls_offered: bool = False
    #: The connection is encrypted from its first byte.
    secured: bool = False
    #: SASL mechanisms of submission, in the order they are listed.
    auth_mechanisms: tuple[str, ...] = tuple(MECHANISMS)
    max_recipients: int = 1000
    #: What completes <postmaster> (RFC 5321 §4.1.1.3); hostname where not said.
    postmaster_domain: str = ""
    #: Wrong commands after which the connection is closed.
    max_faults: int = 20
    #: Commands without a message (RSET, NOOP, refused recipients ...) after which it is closed; a message resets both.
    max_trifles: int = 200
    #: Failed logins after which it is closed.
    max_failed_logins: int = 3
    #: Seconds of silence (RFC 5321 §4.5.3.2.7).
    timeout: float = 300.0


@functools.lru_cache(maxsize=64)
def greeting(config: ServerConfig, *, offers_tls: bool, offers_auth: bool) -> bytes:
    """The reply to EHLO (RFC 5321 §4.1.1.1) on the wire."""
    lines = [config.hostname, "PIPELINING", f"SIZE {config.max_size}"]
    if offers_tls:
        lines.append("STARTTLS")
    if offers_auth and config.auth_mechanisms:
        lines.append("AUTH " + " ".join(config.auth_mechanisms))
    lines += ["8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN", "HELP"]
    return numbered(250, lines)


@functools.lru_cache(maxsize=64)
def help_on(name: bytes) -> Reply:
    """The reply to HELP with a command's name, or with none."""
    command = COMMANDS.get(name)
    if command is not None:
        return Reply(214, "2.0.0", f"Syntax: {command.syntax} ({command.rfc.replace('§', 'section ')})")
    names = " ".join(row.name for row in COMMANDS.values() if row.listed)
    return Reply(214, "2.0.0", f"Commands: {names}\nHELP name says more")
