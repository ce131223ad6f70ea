"""The table of log events, and the one way to emit them: a JSON line each, no secrets, no message content."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import sys
import traceback
from collections.abc import Mapping
from typing import Any, TextIO

import msgspec

#: name -> (level, what it means). Emitting a name that has no row here is a programming error.
EVENTS: Mapping[str, tuple[int, str]] = {
    "server.start": (logging.INFO, "a process of the server runs; role and pid say which"),
    "server.ready": (logging.INFO, "every process of the group serves"),
    "server.process_ended": (logging.ERROR, "a front or the background process ended by itself and is started again"),
    "server.failed": (logging.CRITICAL, "the group cannot go on; reason says why"),
    "server.stop": (logging.INFO, "a process ends in good order"),
    "server.failure": (logging.ERROR, "something unexpected; the stack is attached, the peer saw only 4.3.0"),
    "snapshot.loaded": (logging.INFO, "a new generation is served"),
    "snapshot.pending": (logging.INFO, "parts of two generations lie side by side; waiting for the rest"),
    "snapshot.refused": (logging.ERROR, "a generation is wrong; the last good one goes on being served"),
    "tls.loaded": (logging.INFO, "certificates were read and are used for new connections"),
    "tls.failed": (logging.INFO, "a TLS handshake did not succeed; reason says why"),
    "smtp.connect": (logging.DEBUG, "a client connected"),
    "smtp.refused": (logging.INFO, "a command or message was refused; reply says how"),
    "smtp.accepted": (logging.INFO, "a message was accepted and is durable"),
    "smtp.disconnect": (logging.DEBUG, "a client left"),
    "imap.login": (logging.INFO, "a user logged in over IMAP"),
    "imap.disconnect": (logging.DEBUG, "an IMAP session ended"),
    "login.failed": (logging.WARNING, "a login was refused"),
    "queue.delivered": (logging.INFO, "a recipient's message was accepted by the next server"),
    "queue.deferred": (logging.INFO, "a recipient's message will be tried again; reply says why"),
    "queue.cut": (logging.WARNING, "deliveries under way did not end in time; they are tried again after the start"),
    "queue.bounced": (logging.INFO, "a recipient's message was given up and its sender told"),
    "queue.lost": (logging.INFO, "a claim was lost to another process; nothing was settled for it here"),
    "account.hold": (logging.WARNING, "an account was put under legal hold, or the hold ended"),
    "account.swept": (logging.INFO, "mail was removed by retention, or is gone for good after its undelete window"),
    "account.removed": (logging.INFO, "an account is gone for good with all its mail, as its Mailbox asked"),
    "quota.warned": (logging.INFO, "a user was sent a warning that the mailbox fills up"),
    "quota.domain": (logging.WARNING, "a domain's mailboxes together crossed a percentage of the domain's quota"),
    "store.open": (logging.INFO, "the store is open; sync latency was measured"),
    "store.migrating": (logging.WARNING, "the database gets a new schema; min_reader: who can go back"),
    "store.migrated": (logging.INFO, "the database has the schema of this release"),
    "store.slow_sync": (logging.WARNING, "syncs of this disk are slow; every accepted message waits for one"),
    "store.no_space": (logging.ERROR, "free space is below the floor: new mail is answered 452 until there is more"),
    "store.write_failed": (logging.ERROR, "a write failed; its batch was refused with 451"),
    "store.unavailable": (logging.ERROR, "mail cannot be read or stored now; reason says why"),
    "store.damaged": (logging.ERROR, "packs are missing or too short: bodies in them cannot be read"),
    "maildir.left": (logging.WARNING, "a file in a Maildir could not be taken in and stays there; reason says why"),
    "maildir.failed": (logging.ERROR, "an account's Maildir could not be brought up to date; it is tried again"),
    "store.keys_wrapped": (logging.INFO, "keys of accounts were wrapped anew, with the newest master key"),
    "store.keys_missing": (
        logging.ERROR,
        "a master key of the store is missing or another one: these accounts are not available, all others are",
    ),
    "store.shredded": (logging.INFO, "keys of accounts were overwritten and removed: their mail is gone for good"),
    "store.encrypting": (logging.INFO, "messages from before encryption was switched on begin to be encrypted"),
    "store.encrypted": (
        logging.INFO,
        "all is encrypted that is to be, and nothing of it is left in the clear; unreadable: messages but for which",
    ),
    "store.encryption_waits": (
        logging.WARNING,
        "messages from before encryption was switched on stay in the clear for now; reason says what it waits for",
    ),
    "search.rebuilt": (logging.INFO, "the search index is made anew, searches scan meanwhile; reason says why"),
    "search.damaged": (logging.WARNING, "the search index is damaged and thrown away"),
    "search.unread": (logging.ERROR, "a search could not read messages and answered without them; uid is one of them"),
    "search.unusable": (logging.WARNING, "a search index cannot be used now: messages are looked through instead"),
    "store.fatal": (logging.CRITICAL, "a sync failed: the process group ends, nothing unsynced was acknowledged"),
}


_LEVELS: Mapping[int, str] = {level: logging.getLevelName(level).lower() for level, _ in EVENTS.values()}
_quick = msgspec.json.Encoder(enc_hook=str).encode
_careful = json.JSONEncoder(default=str).encode


def level_of(name: str) -> int:
    """The level that is called "debug", "info", "warning" or "error"."""
    return logging.getLevelNamesMapping()[name.upper()]


class Events:
    """Emits events as JSON lines to a stream: ASCII, so that nothing a stranger says reaches a terminal as it is."""

    def __init__(self, stream: TextIO = sys.stderr, *, level: int = logging.INFO, **context: Any) -> None:
        self._stream = stream
        self._level = level
        self._context = context

    def emit(self, event: str, **fields: Any) -> None:
        """Write one event of the table; `exc_info=` attaches an exception with its stack, True the present one."""
        level, _ = EVENTS[event]
        if level < self._level:
            return
        exc_info = fields.pop("exc_info", None)
        line = {**self._context, "level": _LEVELS[level], **fields, "event": event, "timestamp": _now()}
        if exc_info:
            error = exc_info if isinstance(exc_info, BaseException) else sys.exception()
            line["exception"] = "".join(traceback.format_exception(error)).rstrip()
        # One call a line: several threads write. Whoever does not read the log any more does not end the service.
        with contextlib.suppress(OSError):
            self._stream.write(_ascii(line) + "\n")
            self._stream.flush()


def _ascii(line: Mapping[str, Any]) -> str:
    """JSON in ASCII. Nearly all lines are that by themselves, and one of them is written for each message."""
    try:
        encoded = _quick(line)
    except UnicodeEncodeError:  # half of a surrogate pair: what a stranger said, decoded tolerantly
        return _careful(line)
    return encoded.decode() if encoded.isascii() else _careful(line)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
