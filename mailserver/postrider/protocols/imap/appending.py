"""APPEND as it comes in: options, literal, and more of both (RFC 9051 §6.3.12, RFC 3502, RFC 6855 §4, RFC 7889)."""

from __future__ import annotations

import re
from dataclasses import replace

from postrider.protocols.engine import NEED_DATA, Need
from postrider.protocols.imap import commands as c
from postrider.protocols.imap import events as e
from postrider.protocols.imap.conversation import Conversation
from postrider.protocols.imap.grammar import Cursor, SyntaxFault
from postrider.protocols.imap.input import Announced, Input
from postrider.protocols.imap.responses import Status

#: Messages of one APPEND, and octets of them together as a multiple of the size limit.
MAX_MESSAGES = 100
MAX_TOTAL = 4

_APPEND = re.compile(rb"[^\x00-\x20(){%*\"\\+\x7f-\xff]{1,100} APPEND ", re.IGNORECASE)


def is_append(command: bytes) -> bool:
    """True when this begins an APPEND."""
    return _APPEND.match(command) is not None


class Appending:
    """One APPEND command from its first literal to its end."""

    def __init__(self, conversation: Conversation, source: Input) -> None:
        self._conversation = conversation
        self._input = source
        self._literal: Announced | None = None
        self._mailbox = ""
        self._in_utf8 = False
        self._messages = self._total = 0
        #: A message was handed out: the session holds something to drop.
        self._started = False
        self._in_body = False

    def begin(self, literal: Announced) -> e.AppendMessage | None:
        """The command up to a literal: that of the mailbox's name, or of the first message. None: not yet, or wrong."""
        cursor = Cursor(literal.command, utf8=self._conversation.utf8)
        match = _APPEND.match(literal.command)
        cursor.at = match.end() if match else 0
        if literal.at == cursor.at and literal.size <= 4096:
            if literal.sync:
                self._conversation.say(b"+ Go on")
            self._input.collect(literal)
            return None
        try:
            if not self._conversation.state & c.COMMANDS["APPEND"].states:
                raise SyntaxFault("log in first")
            self._mailbox = cursor.mailbox()
            cursor.space()
            return self._announce(cursor, literal)
        except SyntaxFault as fault:
            self._conversation.fault(str(fault))
        self._input.refuse(literal)
        return None

    def accept(self) -> None:
        """The session takes the message just announced."""
        literal = self._announced
        if literal.sync:
            self._conversation.say(b"+ Ready for the message")
        self._input.stream(literal)
        self._started = self._in_body = True

    def refuse(self) -> None:
        """The session has refused the message just announced."""
        self._input.refuse(self._announced)

    def step(self) -> e.AppendMessage | e.AppendChunk | e.AppendEnd | e.AppendAborted | Need:
        """The next octets of a body, and what stands behind it. Raises Unreadable."""
        if self._in_body:
            data = self._input.body()
            if data is None:
                return NEED_DATA
            if data:
                return e.AppendChunk(data)
            self._in_body = False
        rest = self._input.command(c.MAX_COMMAND)
        if rest is None:
            return NEED_DATA
        return self._behind(rest)

    @property
    def _announced(self) -> Announced:
        if self._literal is None:
            raise RuntimeError("no message was announced")
        return self._literal

    def _behind(self, rest: bytes | Announced) -> e.AppendMessage | e.AppendEnd | e.AppendAborted:
        command = rest if isinstance(rest, bytes) else rest.command
        cursor = Cursor(command, utf8=self._conversation.utf8)
        try:
            if self._in_utf8:
                cursor.take(b")")
            if isinstance(rest, bytes):
                cursor.end()
                return e.AppendEnd()
            cursor.space()
            message = self._announce(cursor, rest)
            if message is not None:
                return message
        except SyntaxFault as fault:
            self._conversation.fault(str(fault))
        if isinstance(rest, Announced):
            self._input.refuse(rest)
        return e.AppendAborted()

    def _announce(self, cursor: Cursor, literal: Announced) -> e.AppendMessage | None:
        """The options in front of a message's literal; None when it was refused. Raises SyntaxFault."""
        event = c.parse_append(cursor, self._mailbox)
        self._in_utf8 = cursor.skip(b"UTF8 (")
        if cursor.at != literal.at:
            raise SyntaxFault("expected a message literal")
        self._messages += 1
        self._total += literal.size
        limit = self._conversation.config.append_limit
        if literal.size > limit:
            self._conversation.tagged(Status.NO, "The message is too large", b"TOOBIG")  # RFC 7889 §4
        elif not literal.size:  # RFC 3502 §6.3.11: so a client takes back what it has begun
            self._conversation.tagged(Status.NO, "Cancelled by a message without any octet")
        elif self._messages > MAX_MESSAGES or self._total > MAX_TOTAL * limit:
            self._conversation.tagged(Status.NO, "Too much for one APPEND", b"LIMIT")
        else:
            self._literal = literal
            return replace(event, size=literal.size)
        if not self._started:
            self._input.refuse(literal)
        return None
