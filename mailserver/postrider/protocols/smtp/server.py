"""The receiving side of SMTP (RFC 5321 and the extensions it lists in EHLO) as an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from postrider.model.envelope import Peer
from postrider.model.reply import LOCAL_ERROR, Refused, Reply
from postrider.protocols.buffer import Buffer
from postrider.protocols.engine import NEED_DATA, Closed, StartTls
from postrider.protocols.sasl import MAX_LINE as MAX_AUTH_LINE
from postrider.protocols.sasl import Challenge, Credentials, Exchange
from postrider.protocols.smtp import events as e
from postrider.protocols.smtp import login as sasl_login
from postrider.protocols.smtp import wording as say
from postrider.protocols.smtp.commands import State
from postrider.protocols.smtp.grammar import Mail, parse_bdat, parse_helo, parse_mail, parse_rcpt
from postrider.protocols.smtp.incoming import TOO_BIG
from postrider.protocols.smtp.lines import MAX_COMMAND, Hopeless, Lines, understood
from postrider.protocols.smtp.offer import ServerConfig, greeting, help_on
from postrider.protocols.smtp.patience import Patience
from postrider.protocols.smtp.transaction import Ended, Transaction

_IDLE = (State.CONNECTED, State.GREETED)
_CLOSED: Final = Closed()
_START_TLS: Final = StartTls()


class Server:
    """A sans-I/O engine (protocols.engine) for one connection; smtp.events are its events, answer() decides on them."""

    def __init__(self, config: ServerConfig, peer: Peer) -> None:
        self.timeout = config.timeout
        #: Who is there; the engine keeps helo, protocol, account and login, whoever owns the socket keeps tls.
        self.peer = peer
        self._config = config
        self._buffer = Buffer()
        self._lines = Lines(self._buffer)
        self._patience = Patience(config)
        self._read: Callable[[Server], object] = Server._read_command
        self._greeted = False
        self._extended = False
        self._secured = config.secured
        self._asked: object = e.Connected()
        self._handed_out = False  # _asked was returned by next_event
        self._after: object = None  # the event that follows a Discarded
        self._draining = False
        self._failed_logins = 0
        self._mail: Mail | None = None  # waits for its answer
        self._transaction: Transaction | None = None
        self._exchange: Exchange | None = None

    # -- the four verbs ------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Bytes from the client; b"" is the end of the stream."""
        self._buffer.feed(data)

    def next_event(self) -> object:
        """The next thing that happened, or NEED_DATA."""
        if self._asked is not None:
            if self._handed_out:
                raise RuntimeError(f"{self._asked} was not answered")
            self._handed_out = True
            return self._asked
        if self._after is not None:
            event, self._after = self._after, None
            return self._hand_out(event)
        while not self._patience.over:
            try:
                event = self._read(self)
            except Hopeless as hopeless:
                self._patience.leave(hopeless.reply)
                continue
            except Refused as refused:
                self._patience.fault(refused.reply)
                continue
            if event is None:
                continue
            if event is NEED_DATA:
                return _CLOSED if self._buffer.eof else event
            return self._hand_out(event)
        return _CLOSED

    def take_output(self) -> bytes:
        """Bytes to send; each is handed out once."""
        return self._patience.take_output()

    def timed_out(self) -> None:
        """The client kept silent for `timeout` seconds."""
        self._patience.leave(say.TIMED_OUT)
        self._asked = self._after = None

    def tls_started(self) -> None:
        """The handshake is done: the client starts over, nothing it said before counts (RFC 3207 §4.2)."""
        self._buffer.discard()
        self._read = Server._read_command
        self._secured = True
        self._greeted = False
        self.peer = replace(self.peer, helo="")

    def drain(self) -> None:
        """We are going: a transaction under way is finished first."""
        self._draining = True

    # -- answers -------------------------------------------------------------------------------------------------

    def answer(self, reply: Reply) -> None:
        """Decide on the event handed out last; what 2xx means is said at each event."""
        event, self._asked = self._asked, None
        if event is None or not self._handed_out:
            raise RuntimeError("nothing was asked")
        _ANSWERS[type(event)](self, event, reply)

    def answer_auth(self, reply: Reply, *, account: str = "", login: str = "") -> None:
        """Decide on AuthAttempt: 2xx with the account and the login name in its normal form, or a refusal."""
        if reply.ok and isinstance(self._asked, e.AuthAttempt):
            self.peer = replace(self.peer, account=account, login=login or self._asked.login)
        self.answer(reply)

    def fail(self) -> None:
        """Whoever handled the last event could not, for a reason of ours: say 4xx now or at the message's end."""
        if isinstance(self._asked, e.AuthAttempt):
            self.answer(say.AUTH_UNAVAILABLE)
        elif self._asked is not None:
            self.answer(LOCAL_ERROR)
        elif self._transaction is not None:
            self._transaction.incoming.refuse(LOCAL_ERROR)

    def _on_connected(self, _: object, reply: Reply) -> None:
        if reply.ok:
            self._patience.say(reply)
        else:
            self._patience.leave(reply)

    def _on_hello(self, event: e.Hello, reply: Reply) -> None:
        if not reply.ok:
            self._patience.trifle(reply)
            return
        self._extended = event.extended
        self._greeted = True
        self.peer = replace(self.peer, helo=event.name, protocol=self._protocol())
        if event.extended:
            tls = self._config.tls_offered and not self._secured
            auth = self._config.submission and self._secured and not self.peer.login
            self._patience.say_raw(greeting(self._config, offers_tls=tls, offers_auth=auth))
        else:
            self._patience.say(Reply(250, "", self._config.hostname))

    def _on_auth(self, _: object, reply: Reply) -> None:
        if reply.ok:
            self.peer = replace(self.peer, protocol=self._protocol())
            self._patience.say(reply)
            return
        self._failed_logins += 1
        if self._failed_logins >= self._config.max_failed_logins:
            self._patience.say(reply)
            self._patience.leave(say.TOO_MANY_ERRORS)
        else:
            self._patience.fault(reply)

    def _on_mail(self, _: object, reply: Reply) -> None:
        if reply.ok:
            self._transaction = Transaction(self._mail, self._config.max_size)
            self._patience.say(reply)
        else:
            self._patience.trifle(reply)
        self._mail = None

    def _on_rcpt(self, event: e.RcptTo, reply: Reply) -> None:
        transaction = self._under_way()
        if reply.ok:
            transaction.recipients.append(event.recipient)
            self._patience.say(reply)
        else:
            transaction.refused = True
            self._patience.trifle(reply)

    def _on_message(self, _: object, reply: Reply) -> None:
        if reply.ok:
            self._patience.forgive()
        self._transaction = None
        self._patience.say(reply)

    # -- reading -------------------------------------------------------------------------------------------------

    def _hand_out(self, event: object) -> object:
        if type(event) in _ANSWERS:
            self._asked = event
            self._handed_out = True
        return event

    def _read_command(self) -> object:
        if self._draining and self._state in _IDLE:
            raise Hopeless(say.SHUTTING_DOWN)
        line = self._lines.read(MAX_COMMAND)
        if line is NEED_DATA:
            return line
        command, argument = understood(line)
        if self._state not in command.states:
            raise Refused(self._out_of_order(command.name))
        return _RUN[command.name](self, argument)

    def _read_auth(self) -> object:
        exchange = self._exchange
        if exchange is None:
            raise RuntimeError("no login under way")
        try:
            line = self._lines.read(MAX_AUTH_LINE)
        except Refused:
            self._read = Server._read_command
            raise Refused(say.AUTH_TOO_LONG) from None
        if line is NEED_DATA:
            return line
        self._read = Server._read_command
        return self._go_on(exchange, sasl_login.go_on(exchange, line))

    def _read_body(self) -> object:
        transaction = self._under_way()
        event = transaction.read(self._buffer)
        if not isinstance(event, Ended):
            if transaction.incoming.endless:
                raise Hopeless(transaction.void or TOO_BIG)
            return event
        self._read = Server._read_command
        if transaction.void is not None:
            # RFC 3030 §2: after a refused chunk nothing but RSET would help; the transaction is over here and now.
            self._transaction = None
            raise Refused(transaction.void)
        if event is Ended.CHUNK:
            self._patience.say(Reply(250, "2.0.0", f"{transaction.incoming.size} octets received"))
            return None
        return e.EndOfMessage(transaction.envelope(self.peer))

    # -- commands ------------------------------------------------------------------------------------------------

    def _ehlo(self, argument: bytes, *, extended: bool = True) -> object:
        if not self._patience.count_trifle():
            raise Hopeless(say.TOO_MANY_ERRORS)
        return self._reset_then(e.Hello(parse_helo(argument), extended))

    def _helo(self, argument: bytes) -> object:
        return self._ehlo(argument, extended=False)

    def _starttls(self, _: bytes) -> object:
        if self._secured or not self._config.tls_offered:
            raise Refused(say.TLS_ALREADY if self._secured else say.NOT_AVAILABLE)
        # RFC 3207 §6: what came in clear behind the command must not be taken for what comes encrypted.
        self._read = Server._await_tls
        self._patience.say(say.READY_FOR_TLS)
        return _START_TLS

    def _await_tls(self) -> object:
        self._buffer.discard()
        return NEED_DATA

    def _auth(self, argument: bytes) -> object:
        if self.peer.login:
            raise Refused(say.AUTH_ALREADY)
        return self._go_on(*sasl_login.begin(argument, self._config, secured=self._secured))

    def _go_on(self, exchange: Exchange, step: Challenge | Credentials) -> object:
        if isinstance(step, Credentials):
            return e.AuthAttempt(exchange.name, step.login, step.password)
        self._exchange = exchange
        self._read = Server._read_auth
        self._patience.say_raw(b"334 " + step.text + b"\r\n")
        return None

    def _mail_from(self, argument: bytes) -> object:
        if self._config.submission and not self.peer.login:
            raise Refused(say.AUTH_FIRST if self._secured else say.TLS_FIRST)
        mail = parse_mail(argument)
        if mail.size > self._config.max_size:  # RFC 1870 §6.1
            raise Refused(TOO_BIG)
        self._mail = mail
        return e.MailFrom(mail.sender, mail.size)

    def _rcpt_to(self, argument: bytes) -> object:
        transaction = self._under_way()
        smtputf8 = transaction.mail is not None and transaction.mail.smtputf8
        recipient = parse_rcpt(argument, self._config.postmaster_domain or self._config.hostname, smtputf8)
        if len(transaction.recipients) >= self._config.max_recipients:  # RFC 5321 §4.5.3.1.10
            transaction.refused = True
            self._patience.trifle(say.TOO_MANY_RECIPIENTS)
            return None
        return e.RcptTo(recipient)

    def _data(self, _: bytes) -> object:
        transaction = self._under_way()
        if transaction.mail is not None and transaction.mail.body == "BINARYMIME":
            raise Refused(say.NEEDS_BDAT)
        transaction.start_data()
        self._read = Server._read_body
        self._patience.say(say.START_MAIL)
        return None

    def _bdat(self, argument: bytes) -> object:
        try:
            chunk = parse_bdat(argument)
        except Refused as refusal:
            # Where the next command begins is anybody's guess now.
            raise Hopeless(refusal.reply) from None
        if chunk.size > 2 * self._config.max_size:
            raise Hopeless(TOO_BIG)
        if self._state not in (State.RCPT, State.BDAT):
            # Not now; but its octets must not be taken for commands.
            reply = self._out_of_order("BDAT")
            self._transaction = Transaction(None, self._config.max_size)
            self._transaction.incoming.refuse(reply)
        self._read = Server._read_body
        return self._under_way().start_chunk(chunk)

    def _rset(self, _: bytes) -> object:
        event = self._reset_then(None)
        self._patience.trifle(say.OK)
        return event

    def _noop(self, _: bytes) -> object:
        self._patience.trifle(say.OK)
        return None

    def _vrfy(self, argument: bytes) -> object:
        if not argument:
            raise Refused(say.syntax_error("VRFY address"))
        self._patience.trifle(say.CANNOT_VERIFY)
        return None

    def _expn(self, _: bytes) -> object:
        raise Refused(say.NOT_AVAILABLE)

    def _help(self, argument: bytes) -> object:
        self._patience.trifle(help_on(argument.upper()))
        return None

    def _quit(self, _: bytes) -> object:
        raise Hopeless(say.BYE)

    # -- the rest ------------------------------------------------------------------------------------------------

    def _protocol(self) -> str:
        """The Received `with` keyword (RFC 3848)."""
        if not self._extended:
            return "SMTP"
        return "ESMTP" + "S" * self._secured + "A" * bool(self.peer.login)

    def _out_of_order(self, command: str) -> Reply:
        if command in ("DATA", "BDAT") and self._transaction is not None and self._transaction.refused:
            return say.NO_RECIPIENTS
        return say.HELLO_FIRST if command == "MAIL" and not self._greeted else say.NOT_NOW

    @property
    def _state(self) -> State:
        if self._transaction is not None:
            return self._transaction.state
        return State.GREETED if self._greeted else State.CONNECTED

    def _under_way(self) -> Transaction:
        if self._transaction is None:
            raise RuntimeError("no transaction under way")
        return self._transaction

    def _reset_then(self, event: object) -> object:
        """End the transaction; chunks that were handed out are void before anything else happens."""
        begun = self._transaction is not None and self._transaction.begun
        self._transaction = None
        if not begun:
            return event
        self._after = event
        return e.Discarded()


_RUN: Mapping[str, Callable[[Server, bytes], object]] = {
    "EHLO": Server._ehlo,
    "HELO": Server._helo,
    "STARTTLS": Server._starttls,
    "AUTH": Server._auth,
    "MAIL": Server._mail_from,
    "RCPT": Server._rcpt_to,
    "DATA": Server._data,
    "BDAT": Server._bdat,
    "RSET": Server._rset,
    "NOOP": Server._noop,
    "VRFY": Server._vrfy,
    "EXPN": Server._expn,
    "HELP": Server._help,
    "QUIT": Server._quit,
}
#: Events that wait for answer(), and what it does.
_ANSWERS: Mapping[type, Callable[[Server, Any, Reply], None]] = {
    e.Connected: Server._on_connected,
    e.Hello: Server._on_hello,
    e.AuthAttempt: Server._on_auth,
    e.MailFrom: Server._on_mail,
    e.RcptTo: Server._on_rcpt,
    e.EndOfMessage: Server._on_message,
}
