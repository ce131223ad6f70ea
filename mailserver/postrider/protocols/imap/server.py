"""The server's engine: commands, states, logins, APPEND's bodies and IDLE (RFC 9051 §3, §6).

Never does anything itself: a command that is right becomes an event, the session answers it; one that is wrong is
answered here.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import TypeVar

from postrider.protocols.engine import NEED_DATA, Closed, Need, StartTls
from postrider.protocols.imap import commands as c
from postrider.protocols.imap import events as e
from postrider.protocols.imap.appending import Appending, is_append
from postrider.protocols.imap.conversation import Conversation, ServerConfig
from postrider.protocols.imap.grammar import Cursor, SyntaxFault
from postrider.protocols.imap.input import Announced, Input, Unreadable
from postrider.protocols.imap.responses import Status, string
from postrider.protocols.imap.search import BadCharset
from postrider.protocols.sasl import MAX_LINE, MECHANISMS, Challenge, Exchange, SaslError
from postrider.protocols.sasl import Credentials as SaslCredentials

#: Commands before login, and failed logins, beyond which a client is sent away.
MAX_COMMANDS_NEW = 50
MAX_LOGIN_FAILURES = 5

T = TypeVar("T")
_TAG = re.compile(rb"([^\x00-\x20(){%*\"\\+\x7f-\xff]{1,100}) ")


class Awaits(enum.Enum):
    """The answer without which nothing goes on."""

    NOTHING = "nothing"
    ANSWER = "answer"
    LOGIN = "login"
    LITERAL = "literal"


Event = (
    e.Command | e.Credentials | e.AppendMessage | e.AppendChunk | e.AppendEnd | e.AppendAborted | e.Idle | e.IdleDone
    | StartTls | Closed
)  # fmt: skip


class Server(Conversation):
    """One connection, server side. The answers: `answer`, `login`, `accept_literal`, besides `untagged` and `bye`."""

    def __init__(self, config: ServerConfig) -> None:
        super().__init__(config)
        self._input = Input()
        self._awaits = Awaits.NOTHING
        #: What takes the next octets: returns an event, None to go on, or NEED_DATA.
        self._step: Callable[[], Event | Need | None] = self._step_command
        self._append = Appending(self, self._input)
        self._sasl: Exchange | None = None
        self._idle_fault = False
        self._closed_told = self._draining = False
        self._commands = self._login_failures = 0
        self.say(b"* OK [CAPABILITY %b] %b Postrider ready" % (self.capabilities(), config.hostname.encode()))

    # -- the four verbs --------------------------------------------------------------------------------------------

    @property
    def timeout(self) -> float:
        """Seconds to wait for the peer now."""
        return self.config.login_timeout if self.state is c.State.NEW else self.config.timeout

    def feed(self, data: bytes) -> None:
        """Octets from the peer; b"" is the end of the stream."""
        self._input.feed(data)

    def next_event(self) -> Event | Need:
        """The next thing that happened, or NEED_DATA."""
        while not self.over:
            if self._draining and self._awaits is Awaits.NOTHING and self._step != self._step_append:
                self.bye("Server is going down, come back in a moment")
                break
            if self._awaits is not Awaits.NOTHING:
                raise RuntimeError(f"the last event waits for its answer ({self._awaits.value})")
            try:
                event = self._step()
            except Unreadable as fault:
                self.bye(str(fault))
                break
            if event is NEED_DATA and self._input.ended:
                self.over = True
            elif event is not None:
                return event
        if self._closed_told:
            return NEED_DATA
        self._closed_told = True
        return Closed()

    def timed_out(self) -> None:
        """Nothing came for `timeout` seconds (RFC 9051 §5.4)."""
        self.bye("Idle for too long")

    def drain(self) -> None:
        """We are going: the command under way is finished, IDLE is not waited for."""
        self._draining = True

    # -- answers ---------------------------------------------------------------------------------------------------

    def answer(self, status: Status, text: str, code: bytes = b"") -> None:
        """End the command. To AppendMessage it refuses the message."""
        awaited, self._awaits = self._awaits, Awaits.NOTHING
        if self.over:
            return
        if awaited is Awaits.NOTHING:
            raise RuntimeError("no event waits for an answer")
        if self._idle_fault:
            self._idle_fault = False
            self.fault("Expected DONE")
            return
        self.tagged(status, text, code)
        if awaited is Awaits.LITERAL:
            self._append.refuse()
            self._step = self._step_command

    def login(self, *, accepted: bool) -> None:
        """Answer Credentials."""
        if self.over:
            return
        if self._awaits is not Awaits.LOGIN:
            raise RuntimeError("nobody is logging in")
        self._awaits = Awaits.NOTHING
        if accepted:
            self.state = c.State.LOGGED_IN
            self.tagged(Status.OK, "Logged in", b"CAPABILITY " + self.capabilities())
            return
        self.tagged(Status.NO, "Login or password is wrong", b"AUTHENTICATIONFAILED")  # RFC 5530 §3
        self._login_failures += 1
        if self._login_failures >= MAX_LOGIN_FAILURES:
            self.bye("Too many failed logins")

    def accept_literal(self) -> None:
        """Answer AppendMessage: its octets may come."""
        if self.over:
            return
        if self._awaits is not Awaits.LITERAL:
            raise RuntimeError("no message waits")
        self._awaits = Awaits.NOTHING
        self._append.accept()
        self._step = self._step_append

    def select(self, *, selected: bool) -> None:
        """A mailbox is selected now, or none is."""
        self.state = c.State.SELECTED if selected else c.State.LOGGED_IN

    def enable(self, *names: str) -> None:
        """Switch on what a command brought with it (RFC 7162 §3.1)."""
        self.enabled |= set(names)

    def tls_started(self) -> None:
        """The handshake is done."""
        self._input.discard()
        self.secure = True
        self._step = self._step_command

    @property
    def busy(self) -> bool:
        """True while an event waits for its answer."""
        return self._awaits is not Awaits.NOTHING

    def bye(self, text: str, code: bytes = b"") -> None:
        """Send the client away; the next event is Closed, whatever waited for an answer."""
        self._awaits = Awaits.NOTHING
        super().bye(text, code)

    # -- steps -----------------------------------------------------------------------------------------------------

    def _step_command(self) -> Event | Need | None:
        limit = c.MAX_COMMAND_NEW if self.state is c.State.NEW else c.MAX_COMMAND
        command = self._input.command(limit)
        if command is None:
            return NEED_DATA
        if isinstance(command, bytes):
            return self._dispatch(command)
        if is_append(command.command):
            return self._begin_append(command)
        if len(command.command) + command.size > limit:
            self._take_tag(command.command)
            self.fault("A literal is too large")
            self._input.refuse(command)
            return None
        if command.sync:
            self.say(b"+ Go on")
        self._input.collect(command)
        return None

    def _begin_append(self, literal: Announced) -> Event | None:
        self._take_tag(literal.command)
        if not self._counted():
            return None
        self._append = Appending(self, self._input)
        message = self._append.begin(literal)
        if message is not None:
            self._awaits = Awaits.LITERAL
        return message

    def _step_append(self) -> Event | Need | None:
        event = self._append.step()
        if isinstance(event, e.AppendMessage):
            self._awaits = Awaits.LITERAL
        elif isinstance(event, e.AppendEnd):
            self._awaits = Awaits.ANSWER
            self._step = self._step_command
        elif isinstance(event, e.AppendAborted):
            self._step = self._step_command
        return event

    def _step_auth(self) -> Event | Need | None:
        line = self._input.line(MAX_LINE)
        if line is None:
            return NEED_DATA
        exchange, self._sasl = self._sasl, None
        self._step = self._step_command
        return self._go_on(exchange, exchange.answer, line) if exchange is not None else None

    def _go_on(self, exchange: Exchange, step: Callable[[T], Challenge | SaslCredentials], given: T) -> Event | None:
        """One step of an AUTHENTICATE: another challenge, credentials, or its failure."""
        try:
            result = step(given)
        except SaslError as error:
            self.fault(str(error))
            return None
        if isinstance(result, Challenge):
            self.say(b"+ " + result.text)
            self._sasl, self._step = exchange, self._step_auth
            return None
        self._awaits = Awaits.LOGIN
        return e.Credentials(exchange.name, result.login, result.password)

    def _step_idle(self) -> Event | Need | None:
        line = self._input.line(1024)
        if line is None:
            return NEED_DATA
        self._idle_fault = line.upper() != b"DONE"
        self._step = self._step_command
        self._awaits = Awaits.ANSWER
        return e.IdleDone()

    def _step_tls(self) -> Event | Need | None:
        return NEED_DATA

    # -- commands --------------------------------------------------------------------------------------------------

    def _take_tag(self, command: bytes) -> int:
        """Take the tag; returns where the command's name begins, 0 when there is no tag."""
        match = _TAG.match(command)
        self.tag = match[1] if match else b"*"
        return match.end() if match else 0

    def _counted(self) -> bool:
        """Count a command; False when there were too many before login."""
        self._commands += 1
        if self.state is c.State.NEW and self._commands > MAX_COMMANDS_NEW:
            self.bye("Too many commands before login")
        return not self.over

    def _dispatch(self, command: bytes) -> Event | None:
        if not self._counted():
            return None
        cursor = Cursor(command, utf8=self.utf8)
        cursor.at = self._take_tag(command)
        try:
            if not cursor.at:
                raise SyntaxFault("no tag")
            name = cursor.word()
            if name == "UID":
                cursor.space()
                name = f"UID {cursor.word()}"
            row = c.COMMANDS.get(name)
            if row is None:
                raise SyntaxFault("unknown command")
            if not self.state & row.states:
                raise SyntaxFault(c.WRONG_STATE[self.state])
            if row.parse is None:
                return _OWN[name](self, cursor)
            event = row.parse(cursor)
            cursor.end()
        except BadCharset:
            self.tagged(Status.NO, "This charset is not supported", b"BADCHARSET (US-ASCII UTF-8)")
            return None
        except SyntaxFault as fault:
            self.fault(str(fault))
            return None
        self._awaits = Awaits.ANSWER
        return event

    def _capability(self, cursor: Cursor) -> None:
        cursor.end()
        self.say(b"* CAPABILITY " + self.capabilities())
        self.tagged(Status.OK, "Done")

    def _logout(self, cursor: Cursor) -> None:
        cursor.end()
        self.say(b"* BYE Good bye")
        self.tagged(Status.OK, "Done")
        self.over = True

    def _id(self, cursor: Cursor) -> None:
        cursor.space()
        if cursor.peek(b"("):
            cursor.group(cursor.nstring)
        else:
            cursor.take(b"NIL")
        cursor.end()
        version = b' "version" %b' % string(self.config.version.encode()) if self.config.version else b""
        self.say(b'* ID ("name" "Postrider"%b)' % version)
        self.tagged(Status.OK, "Done")

    def _starttls(self, cursor: Cursor) -> Event | None:
        cursor.end()
        if self.secure or not self.config.tls:
            raise SyntaxFault("TLS is active already" if self.secure else "TLS is not available")
        self.tagged(Status.OK, "Begin TLS")
        self._input.discard()  # RFC 9051 §6.2.1: nothing slips in before the handshake
        self._step = self._step_tls
        return StartTls()

    def _login(self, cursor: Cursor) -> Event | None:
        cursor.space()
        login = cursor.text()
        cursor.space()
        password = cursor.text()
        cursor.end()
        if not self._may_log_in():
            return None
        self._awaits = Awaits.LOGIN
        return e.Credentials("LOGIN", login, password)

    def _authenticate(self, cursor: Cursor) -> Event | None:
        cursor.space()
        mechanism = cursor.word()
        initial = None
        if cursor.skip(b" "):  # RFC 4959
            initial, cursor.at = cursor.data[cursor.at :], len(cursor.data)
        if not self._may_log_in():
            return None
        if mechanism not in MECHANISMS:
            self.tagged(Status.NO, "This mechanism is not supported")
            return None
        exchange = Exchange(mechanism)
        return self._go_on(exchange, exchange.begin, initial)

    def _may_log_in(self) -> bool:
        if not self.secure:  # RFC 9051 §6.2.3, §11.3
            self.tagged(Status.NO, "Begin TLS first", b"PRIVACYREQUIRED")
        return self.secure

    def _enable(self, cursor: Cursor) -> None:
        names: list[str] = []
        while cursor.skip(b" ") and not cursor.ended:
            names.append(cursor.word())
        if not names:
            raise SyntaxFault("ENABLE what?")
        fresh: set[str] = set()
        for name in names:  # RFC 5161 §3.1: what is not known is passed over
            fresh |= c.ENABLES.get(name, frozenset()) - self.enabled
        self.enabled |= fresh
        self.say(b" ".join([b"* ENABLED", *sorted(name.encode() for name in fresh)]))
        self.tagged(Status.OK, "Done")

    def _idle(self, cursor: Cursor) -> Event | None:
        cursor.end()
        self.say(b"+ idling")
        self._step = self._step_idle
        return e.Idle()

    def _append_without_message(self, cursor: Cursor) -> None:
        raise SyntaxFault(f"expected a message literal at octet {cursor.at}")


#: Commands of c.COMMANDS without a parser: the engine answers them, or needs more lines for them.
_OWN: dict[str, Callable[[Server, Cursor], Event | None]] = {
    "CAPABILITY": Server._capability,
    "LOGOUT": Server._logout,
    "ID": Server._id,
    "STARTTLS": Server._starttls,
    "AUTHENTICATE": Server._authenticate,
    "LOGIN": Server._login,
    "ENABLE": Server._enable,
    "IDLE": Server._idle,
    "APPEND": Server._append_without_message,
}
