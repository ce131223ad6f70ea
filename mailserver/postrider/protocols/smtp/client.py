"""The sending side of SMTP (RFC 5321): pipelined, any number of messages over one connection, a reply per recipient."""

from __future__ import annotations

import base64
import enum
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from postrider.model.envelope import Envelope
from postrider.model.reply import Reply
from postrider.protocols.buffer import Buffer
from postrider.protocols.engine import NEED_DATA, Closed, StartTls
from postrider.protocols.smtp.events import Failed, Outcome, Ready, WantBody
from postrider.protocols.smtp.outgoing import Outgoing, mail_command, negative, rcpt_command
from postrider.protocols.smtp.replies import NotSmtp, Replies, Said

_NOT_SAID = Reply(450, "4.4.2", "the server did not answer")
_NO_UTF8 = Reply(550, "5.6.7", "the next server takes no internationalised addresses (SMTPUTF8)")
_NO_BINARY = Reply(554, "5.6.1", "the next server takes no binary messages (BINARYMIME)")
_UNCLEAN = Reply(554, "5.6.0", "the message holds bare CR, bare LF or NUL and cannot be sent")
_HUNG_UP = Reply(450, "4.4.2", "the connection was closed by the server")
_NO_SMTP = Reply(450, "4.5.0", "the server does not speak SMTP")
_NO_TLS = Reply(454, "4.7.5", "TLS is required and the server does not offer it")


class Tls(enum.Enum):
    """What to do about TLS."""

    NEVER = "never"
    OPPORTUNISTIC = "opportunistic"  # STARTTLS where offered, in clear where it is refused
    REQUIRED = "required"
    IMPLICIT = "implicit"  # the connection is encrypted already (RFC 8314 §3.3)


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """A login at a smarthost."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """How we present ourselves and what we insist on."""

    #: Our name in EHLO.
    hostname: str
    tls: Tls = Tls.OPPORTUNISTIC
    #: AUTH, done only under TLS and only with a server that offers it; without success the connection Failed.
    credentials: Credentials | None = None
    #: Use BDAT where offered (RFC 3030); a BINARYMIME message always goes by BDAT.
    chunking: bool = False


class _Step(enum.Enum):
    """Which reply comes next: its name in failures, and the seconds to wait for it (RFC 5321 §4.5.3.2)."""

    GREETING = ("connect", 300.0)
    EHLO = ("ehlo", 300.0)
    HELO = ("helo", 300.0)
    STARTTLS = ("starttls", 120.0)
    AUTH = ("auth", 120.0)
    RSET = ("rset", 300.0)
    MAIL = ("mail", 300.0)
    RCPT = ("rcpt", 300.0)
    DATA = ("data", 120.0)
    CHUNK = ("chunk", 180.0)
    FINAL = ("final", 600.0)
    QUIT = ("quit", 10.0)

    def __init__(self, stage: str, seconds: float) -> None:
        self.stage = stage
        self.seconds = seconds


class Client:
    """A sans-I/O engine (see protocols.engine) with the answers send, quit and body.

    Life: [StartTls], Ready, then for each send(): WantBody ... Outcome, Ready; quit() ends in Closed.
    When a connection cannot be used: Failed, Closed. When it breaks in a transaction: Outcome, Closed.
    `timeout` is the time to wait for the server now; take_output() must be written before waiting.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._buffer = Buffer()
        self._output: list[bytes] = []
        self._expected: deque[_Step] = deque([_Step.GREETING])
        self._unsent: deque[tuple[bytes, _Step]] = deque()
        self._events: deque[object] = deque()
        self._replies = Replies(self._buffer)
        self._asked: object = None
        self._capabilities: dict[str, str] = {}
        self._secured = config.tls is Tls.IMPLICIT
        self._auth_lines: deque[bytes] = deque()
        self._transaction: Outgoing | None = None
        self._body = False  # the server waits for the message
        self._needs_rset = False
        self._over = False
        #: What the server greeted with; its name comes first (RFC 5321 §4.2).
        self.greeting = ""
        #: Replies so far.
        self.heard = 0

    # -- the four verbs ------------------------------------------------------------------------------------------

    @property
    def timeout(self) -> float:
        """Seconds to wait for the server in the present state (RFC 5321 §4.5.3.2)."""
        return self._expected[0].seconds if self._expected else 180.0

    def feed(self, data: bytes) -> None:
        """Bytes from the server; b"" is the end of the stream."""
        self._buffer.feed(data)

    def next_event(self) -> object:
        """StartTls, Ready, WantBody, Outcome, Failed, Closed or NEED_DATA."""
        if self._asked is not None:
            raise RuntimeError(f"{self._asked} was not answered")
        while not self._events:
            if self._over:
                return Closed()
            if self._body and not self._buffer.eof:
                self._asked = WantBody()
                return self._asked
            try:
                said = self._replies.read()
            except NotSmtp:
                self._break(_NO_SMTP)
                continue
            if said is not None:
                self.heard += 1
                self._on_reply(said)
            elif self._buffer.eof:
                self._break(_HUNG_UP)
            else:
                return NEED_DATA
        event = self._events.popleft()
        if isinstance(event, Ready):
            self._asked = event
        return event

    def take_output(self) -> bytes:
        """Bytes to send; each is handed out once."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def timed_out(self) -> None:
        """The server kept silent for `timeout` seconds, or does not read: Outcome or Failed, then Closed."""
        stage = self._expected[0].stage if self._expected else "body"
        self._asked = None
        self._break(Reply(450, "4.4.2", f"the server did not answer in time ({stage})"))

    def drain(self) -> None:
        """Whoever drives the engine decides when to quit(); nothing to do here."""

    def tls_started(self) -> None:
        """The handshake is done: what the server said before no longer counts (RFC 3207 §4.2)."""
        self._secured = True
        self._buffer.discard()
        self._replies.forget()
        self._capabilities = {}
        self._say(b"EHLO " + self._config.hostname.encode(), _Step.EHLO)

    # -- answers -------------------------------------------------------------------------------------------------

    def send(self, envelope: Envelope) -> None:
        """Answers Ready: begin a transaction for all recipients of the envelope (at least one)."""
        self._answered(Ready)
        by_bdat = "CHUNKING" in self._capabilities and (self._config.chunking or envelope.body == "BINARYMIME")
        self._transaction = Outgoing(envelope, by_bdat=by_bdat)
        if envelope.smtputf8 and "SMTPUTF8" not in self._capabilities:
            self._finish(_NO_UTF8)
            return
        if envelope.body == "BINARYMIME" and not (by_bdat and "BINARYMIME" in self._capabilities):
            self._finish(_NO_BINARY)
            return
        if self._needs_rset:
            self._needs_rset = False
            self._unsent.append((b"RSET", _Step.RSET))
        offered = self._capabilities
        self._unsent.append((mail_command(envelope, offered), _Step.MAIL))
        self._unsent.extend((rcpt_command(envelope, one, offered), _Step.RCPT) for one in envelope.recipients)
        if not by_bdat:
            self._unsent.append((b"DATA", _Step.DATA))
        self._pump()

    def body(self, chunk: bytes) -> None:
        """Answers WantBody: the next bytes of the message with CRLF line ends, b"" when it is complete."""
        self._answered(WantBody)
        transaction = self._under_way()
        if not transaction.check(chunk):
            # The message must not be completed, and nothing but the end of the connection aborts DATA.
            self._break(_UNCLEAN)
        elif transaction.by_bdat:
            self._send_chunk(transaction, chunk)
        elif chunk:
            self._output.append(transaction.stuffer.encode(chunk))
        else:
            self._output.append(transaction.stuffer.end())
            self._end_body(transaction)

    def quit(self) -> None:
        """Answers Ready: take leave; Closed follows when the server said 221 or is gone."""
        self._answered(Ready)
        self._say(b"QUIT", _Step.QUIT)

    # -- sending -------------------------------------------------------------------------------------------------

    def _answered(self, kind: type[object]) -> None:
        if not isinstance(self._asked, kind):
            raise RuntimeError(f"not asked for this: {self._asked}")
        self._asked = None

    def _under_way(self) -> Outgoing:
        if self._transaction is None:
            raise RuntimeError("no transaction")
        return self._transaction

    def _say(self, line: bytes, step: _Step) -> None:
        self._output.append(line + b"\r\n")
        self._expected.append(step)

    def _pump(self) -> None:
        """Send what waits: everything at once with PIPELINING (RFC 2920), else a command at a time."""
        together = "PIPELINING" in self._capabilities
        while self._unsent and (together or not self._expected):
            self._say(*self._unsent.popleft())

    def _send_chunk(self, transaction: Outgoing, chunk: bytes) -> None:
        last = b"" if chunk else b" LAST"
        self._output += (b"BDAT %d%s\r\n" % (len(chunk), last), chunk)
        if chunk:
            self._expected.append(_Step.CHUNK)
            # Without PIPELINING each chunk waits for its reply.
            self._body = "PIPELINING" in self._capabilities
        else:
            self._end_body(transaction)

    def _end_body(self, transaction: Outgoing) -> None:
        self._body = False
        transaction.ended = True
        self._expected.append(_Step.FINAL)

    # -- replies -------------------------------------------------------------------------------------------------

    def _on_reply(self, said: Said) -> None:
        reply = said.reply
        if not self._expected:  # unasked: 421 when it shuts down, all else is ignored
            if reply.code == 421:
                self._break(reply)
            return
        step = self._expected.popleft()
        if reply.code == 421 and step is not _Step.QUIT:  # RFC 5321 §4.2.2: this connection is over
            self._expected.appendleft(step)
            self._break(reply)
            return
        match step:
            case _Step.GREETING | _Step.EHLO | _Step.HELO | _Step.STARTTLS | _Step.AUTH:
                self._on_opening(step, said)
            case _Step.QUIT:
                self._over = True
            case _Step.RSET:
                pass  # a server that refuses RSET will refuse MAIL too
            case _:
                self._on_transaction(step, reply)
        self._pump()

    def _on_opening(self, step: _Step, said: Said) -> None:
        reply = said.reply
        match step:
            case _Step.GREETING if reply.code // 100 == 2:
                self.greeting = reply.text
                self._say(b"EHLO " + self._config.hostname.encode(), _Step.EHLO)
            case _Step.EHLO if reply.code // 100 == 2:
                self._capabilities = said.capabilities()
                self._after_hello()
            case _Step.EHLO if reply.permanent and self._config.tls in (Tls.NEVER, Tls.OPPORTUNISTIC):
                # RFC 5321 §3.2: a server that does not know EHLO gets HELO.
                self._say(b"HELO " + self._config.hostname.encode(), _Step.HELO)
            case _Step.HELO if reply.code // 100 == 2:
                self._after_hello()
            case _Step.STARTTLS if reply.code == 220:
                self._buffer.discard()
                self._events.append(StartTls())
            case _Step.STARTTLS if self._config.tls is Tls.OPPORTUNISTIC:
                self._authenticate_or_go()
            case _Step.AUTH if reply.code == 235:
                self._ready()
            case _Step.AUTH if reply.code == 334 and self._auth_lines:
                self._say(self._auth_lines.popleft(), _Step.AUTH)
            case _:
                self._fail(negative(reply), step.stage)

    def _after_hello(self) -> None:
        wants = self._config.tls in (Tls.OPPORTUNISTIC, Tls.REQUIRED) and not self._secured
        if wants and "STARTTLS" in self._capabilities:
            self._say(b"STARTTLS", _Step.STARTTLS)
        elif wants and self._config.tls is Tls.REQUIRED:
            self._fail(_NO_TLS, "starttls")
        else:
            self._authenticate_or_go()

    def _authenticate_or_go(self) -> None:
        login = self._config.credentials
        if login is None:
            self._ready()
            return
        offered = self._capabilities.get("AUTH", "").upper().split()
        if not self._secured:
            self._fail(Reply(454, "4.7.11", "no login without TLS"), "auth")
        elif "PLAIN" in offered:
            token = base64.b64encode(f"\0{login.username}\0{login.password}".encode())
            self._say(b"AUTH PLAIN " + token, _Step.AUTH)
        elif "LOGIN" in offered:
            self._auth_lines.extend(base64.b64encode(part.encode()) for part in (login.username, login.password))
            self._say(b"AUTH LOGIN", _Step.AUTH)
        else:
            self._fail(Reply(454, "4.7.0", "the server offers no login we know (PLAIN, LOGIN)"), "auth")

    def _ready(self) -> None:
        self._events.append(Ready(self._capabilities, self._secured))

    def _on_transaction(self, step: _Step, reply: Reply) -> None:
        transaction = self._under_way()
        _IN_TRANSACTION[step](self, transaction, reply)
        if self._transaction and not (self._expected or self._unsent or self._body):
            self._finish(transaction.refused or _NOT_SAID)

    def _on_mail(self, transaction: Outgoing, reply: Reply) -> None:
        if reply.code // 100 != 2:
            transaction.refuse(reply)
            self._unsent.clear()

    def _on_rcpt(self, transaction: Outgoing, reply: Reply) -> None:
        transaction.on_rcpt(reply)
        if not transaction.wanted:
            self._unsent.clear()  # not pipelined: DATA need not be asked
        elif transaction.by_bdat and not self._expected and not self._unsent:
            self._body = True

    def _on_data(self, transaction: Outgoing, reply: Reply) -> None:
        if reply.code == 354 and transaction.wanted:
            self._body = True
        elif reply.code == 354:
            # RFC 2920 §3.1: DATA went out with the RCPTs and all of those were refused: an empty message ends it.
            self._output.append(b".\r\n")
            self._expected.append(_Step.FINAL)
        else:
            transaction.refuse(reply)

    def _on_chunk(self, transaction: Outgoing, reply: Reply) -> None:
        if reply.code // 100 != 2:
            transaction.refuse_chunk(reply)
        if not transaction.ended:
            self._body = transaction.refused is None

    def _on_final(self, transaction: Outgoing, reply: Reply) -> None:
        self._finish(transaction.refused or (reply if reply.code // 100 == 2 else negative(reply)))

    def _finish(self, reply: Reply, *, uncertain: bool = False) -> None:
        transaction = self._under_way()
        self._transaction, self._body = None, False
        self._unsent.clear()
        self._needs_rset = self._needs_rset or not (transaction.ended and reply.ok)
        self._events.append(Outcome(transaction.replies(reply), uncertain))
        if not self._over:
            self._ready()

    # -- the end -------------------------------------------------------------------------------------------------

    def _break(self, reply: Reply) -> None:
        """The connection can no longer be used."""
        if self._over:
            return
        self._over = True
        self._events = deque(event for event in self._events if not isinstance(event, Ready | StartTls))
        step = self._expected[0] if self._expected else None
        if self._transaction is not None:
            self._finish(reply, uncertain=self._transaction.ended and reply.code != 421)
        elif step is not _Step.QUIT:
            self._events.append(Failed(reply, step.stage if step else "idle"))

    def _fail(self, reply: Reply, stage: str) -> None:
        self._over = True
        self._output.append(b"QUIT\r\n")
        self._events.append(Failed(reply, stage))


_IN_TRANSACTION: Mapping[_Step, Callable[[Client, Outgoing, Reply], None]] = {
    _Step.MAIL: Client._on_mail,
    _Step.RCPT: Client._on_rcpt,
    _Step.DATA: Client._on_data,
    _Step.CHUNK: Client._on_chunk,
    _Step.FINAL: Client._on_final,
}
