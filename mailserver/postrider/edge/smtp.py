"""SMTP for the driver: the engine's questions go to gates, logins and ingest, and their answers back."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from msgspec.structs import replace

from postrider.accounts.directory import Directory
from postrider.accounts.room import Room
from postrider.contract.model import Mailbox
from postrider.edge.driver import Connection
from postrider.gates.phases import Phase, ask
from postrider.gates.visit import Visit
from postrider.ingest.pipeline import Ingest
from postrider.ingest.spool import Spool
from postrider.model.address import Address
from postrider.model.envelope import Peer, Source
from postrider.model.reply import Refused, Reply
from postrider.protocols.smtp import events as e
from postrider.protocols.smtp.offer import ServerConfig
from postrider.protocols.smtp.server import Server
from postrider.protocols.smtp.wording import TOO_MANY_CONNECTIONS, encode
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

#: Octets of a message that wait here before they go to the spool, so that a small one goes there once.
_HELD = 64 * 1024

_HELLO: Final = Reply(250, "", "")
_SENDER_OK: Final = Reply(250, "2.1.0", "Sender ok")
_RECIPIENT_OK: Final = Reply(250, "2.1.5", "Recipient ok")
_WELCOME: Final = Reply(235, "2.7.0", "Authentication succeeded")
_WRONG: Final = Reply(535, "5.7.8", "Wrong login or password")


class LoginCheck(Protocol):
    """What is needed of accounts.login.Login."""

    async def check(self, login: str, password: str, ip: str) -> Mailbox | None:
        """The mailbox that logged in, or None. Raises Refused."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpDeps:
    """What SMTP needs from the rest of the server."""

    ingest: Ingest
    directory: Callable[[], Directory]
    login: LoginCheck
    #: accounts.vanished.Vanished.recently
    recently: Callable[[str], Awaitable[bool]]
    room: Room
    events: Events
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the three ways in."""

    source: Source
    #: TLS from the first byte (RFC 8314 §3.3).
    secured: bool = False


#: By the listener's name.
KINDS: Mapping[str, Kind] = {
    "smtp": Kind(Source.MX),
    "submission": Kind(Source.SUBMISSION),
    "submissions": Kind(Source.SUBMISSION, secured=True),
}


class SmtpSession:
    """One connection: from its greeting to its last message."""

    def __init__(self, kind: Kind, deps: SmtpDeps, link: Connection, config: ServerConfig) -> None:
        self._kind = kind
        self._deps = deps
        self._link = link
        self.engine = Server(config, Peer(link.ip, link.port, tls=link.tls))
        #: What the present MAIL said of its size.
        self._size = 0
        self._held: list[bytes] = []
        self._held_size = 0
        self._spool: Spool | None = None
        deps.events.emit("smtp.connect", source=kind.source.value, ip=link.ip, port=link.port, tls=link.tls)

    def handle(self, event: object) -> Awaitable[None] | None:
        """Decide on one event."""
        return _HANDLERS[type(event)](self, event)

    def failed(self) -> None:
        """Something unexpected happened; the event was logged."""
        self._drop()
        self.engine.fail()

    def lost(self) -> None:
        """The connection is over."""
        self._drop()
        self._deps.events.emit("smtp.disconnect", source=self._kind.source.value, ip=self._link.ip)

    # -- commands ------------------------------------------------------------------------------------------------

    def _connected(self, _: e.Connected) -> Awaitable[None] | None:
        return self._gate(Phase.CONNECTION, None, _banner(self._deps.directory().server.hostname))

    def _hello(self, _: e.Hello) -> None:
        peer = self.engine.peer
        if peer.tls != self._link.tls:
            self.engine.peer = replace(peer, tls=self._link.tls)
        self.engine.answer(_HELLO)

    def _mail(self, event: e.MailFrom) -> Awaitable[None] | None:
        self._size = event.size
        return self._gate(Phase.SENDER, event.sender, _SENDER_OK)

    def _rcpt(self, event: e.RcptTo) -> Awaitable[None] | None:
        return self._gate(Phase.RECIPIENT, event.recipient.address, _RECIPIENT_OK)

    def _gate(self, phase: Phase, address: Address | None, passed: Reply) -> Awaitable[None] | None:
        submission = self._kind.source is Source.SUBMISSION
        deps = self._deps
        visit = Visit(self.engine.peer, deps.directory(), submission, address, deps.recently, deps.room, self._size)
        said = ask(phase, visit)
        if said is None:
            self.engine.answer(passed)
            return None
        if isinstance(said, Reply):
            self._refuse(said, phase, address)
            return None
        return self._wait(said, phase, address, passed)

    async def _wait(self, said: Awaitable[Reply | None], phase: Phase, address: Address | None, passed: Reply) -> None:
        reply = await said
        if reply is None:
            self.engine.answer(passed)
        else:
            self._refuse(reply, phase, address)

    def _refuse(self, reply: Reply, phase: Phase, address: Address | None) -> None:
        source = self._kind.source.value
        self._deps.metrics.count("postrider_replies_total", 1, **{"source": source, "class": f"{reply.code // 100}xx"})
        self._deps.events.emit(
            "smtp.refused",
            source=source,
            ip=self._link.ip,
            login=self.engine.peer.login,
            phase=phase.value,
            address=str(address or ""),
            reply=str(reply),
        )
        self.engine.answer(reply)

    async def _authenticate(self, event: e.AuthAttempt) -> None:
        deps = self._deps
        try:
            mailbox = await deps.login.check(event.login, event.password, self._link.ip)
        except Refused as refused:
            deps.metrics.count("postrider_logins_total", protocol="smtp", result="delayed")
            self.engine.answer_auth(refused.reply)
            return
        deps.metrics.count("postrider_logins_total", protocol="smtp", result="failed" if mailbox is None else "ok")
        if mailbox is None:
            deps.events.emit("login.failed", protocol="smtp", login=event.login[:320], ip=self._link.ip)
            self.engine.answer_auth(_WRONG)
        else:
            account = deps.directory().account(mailbox)
            self.engine.answer_auth(_WELCOME, account=account, login=mailbox.address)

    # -- the message ---------------------------------------------------------------------------------------------

    def _body(self, event: e.Body) -> Awaitable[None] | None:
        self._held.append(event.data)
        self._held_size += len(event.data)
        return self._put() if self._held_size >= _HELD else None

    async def _write(self) -> Spool:
        if self._spool is None:
            self._spool = self._deps.ingest.begin(self._kind.source)
        if self._held:
            data = b"".join(self._held)
            self._held, self._held_size = [], 0
            await self._spool.write(data)
        return self._spool

    async def _put(self) -> None:
        await self._write()

    async def _end(self, event: e.EndOfMessage) -> None:
        spool = await self._write()
        self._spool = None
        self.engine.answer(await self._deps.ingest.finish(spool, self._kind.source, event.envelope))

    def _discarded(self, _: e.Discarded) -> None:
        self._drop()

    def _drop(self) -> None:
        self._held, self._held_size = [], 0
        spool, self._spool = self._spool, None
        if spool is not None:
            self._deps.ingest.abort(spool)


_HANDLERS: Mapping[type, Callable[[SmtpSession, Any], Awaitable[None] | None]] = {
    e.Connected: SmtpSession._connected,
    e.Hello: SmtpSession._hello,
    e.AuthAttempt: SmtpSession._authenticate,
    e.MailFrom: SmtpSession._mail,
    e.RcptTo: SmtpSession._rcpt,
    e.Body: SmtpSession._body,
    e.Discarded: SmtpSession._discarded,
    e.EndOfMessage: SmtpSession._end,
}


class SmtpService:
    """Makes sessions; `name` is one of KINDS. `starttls`: the listener has a certificate to offer."""

    def __init__(self, name: str, deps: SmtpDeps, *, starttls: bool = True) -> None:
        self._name = name
        self._kind = KINDS[name]
        self._deps = deps
        self._starttls = starttls
        self._offered: tuple[Directory, ServerConfig] | None = None

    @property
    def name(self) -> str:
        """The listener's name in metrics and logs."""
        return self._name

    @property
    def busy(self) -> bytes:
        """What a client hears that is one too many."""
        return encode(TOO_MANY_CONNECTIONS)

    def open(self, link: Connection) -> SmtpSession:
        """A connection stands."""
        return SmtpSession(self._kind, self._deps, link, self._offer())

    def _offer(self) -> ServerConfig:
        """What the present generation offers; made once for each."""
        directory = self._deps.directory()
        if self._offered is None or self._offered[0] is not directory:
            self._offered = directory, self._made(directory)
        return self._offered[1]

    def _made(self, directory: Directory) -> ServerConfig:
        kind, server = self._kind, directory.server
        return ServerConfig(
            hostname=server.hostname,
            max_size=server.limits.message_bytes,
            max_recipients=server.limits.recipients_per_message,
            submission=kind.source is Source.SUBMISSION,
            tls_offered=self._starttls and not kind.secured,
            secured=kind.secured,
            postmaster_domain=_postmaster_domain(directory),
        )


@functools.lru_cache(maxsize=4)
def _banner(hostname: str) -> Reply:
    return Reply(220, "", f"{hostname} ESMTP Postrider")


def _postmaster_domain(directory: Directory) -> str:
    """What completes <postmaster>: our name where that is a mail domain, else the first of our domains."""
    hostname, domains = directory.server.hostname, directory.snapshot.domains
    return hostname if directory.is_local(hostname) or not domains else domains[0].name
