"""One attempt: connect to a destination's servers in order and hand over parcels, a reply for each recipient.

It decides nothing about what becomes of a row (`retry` does) and writes nothing to the store but the claims it renews.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from postrider.model.ports import Dialer
from postrider.model.reply import Reply
from postrider.outbound.conversation import Conversation, TlsFailed
from postrider.outbound.parcel import Parcel
from postrider.outbound.plan import LOOPS, Host
from postrider.protocols.smtp.client import Client, ClientConfig, Credentials, Tls
from postrider.protocols.smtp.events import Failed, Outcome, Ready, WantBody
from postrider.store.ports import Reader
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import QueueRow

#: Seconds to connect to one address (RFC 5321 §4.5.4.1 asks for patience; there are further addresses).
DIAL_SECONDS = 30.0

UNREACHABLE = Reply(451, "4.4.1", "No server could be reached")
HANDSHAKE_FAILED = Reply(454, "4.7.5", "The TLS handshake failed")
UNREADABLE = Reply(451, "4.3.0", "The message cannot be read at present")


@dataclass(frozen=True, slots=True)
class Delivered:
    """How it ended for one row, who said so, and how the connection was secured."""

    row: QueueRow
    reply: Reply
    #: Name of the server that spoke; "" where none did.
    remote: str = ""
    tls: str = ""
    #: The server knows DSN: reports of success are its business now.
    dsn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How a destination is reached: its servers in order and how to present ourselves."""

    hosts: Sequence[Host]
    port: int
    #: Our name.
    hostname: str
    tls: Tls = Tls.OPPORTUNISTIC
    #: Certificates must be valid for the host's name.
    verify: bool = False
    #: The host was named by the administrator, not by DNS.
    smarthost: bool = False
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Means:
    """What an attempt works with."""

    dialer: Dialer
    reader: Reader
    #: Makes sure the claims outlast the final dot's time-out; False when one was lost.
    hold: Callable[[Parcel], Awaitable[bool]]


class Courier:
    """Carries parcels to one destination over one connection, which is opened at need and kept from one to the next."""

    def __init__(self, route: Route, means: Means) -> None:
        self._route = route
        self._means = means
        self._left: list[Host] = []
        self._host: Host | None = None
        self._conversation: Conversation | None = None
        self._ready: Ready | None = None
        #: No server could be talked to at all: what the last one said.
        self.unreachable: Reply | None = None

    async def carry(self, parcel: Parcel) -> list[Delivered]:
        """Hand one parcel over. Rows missing in the result were not sent: their claims are somebody else's by now."""
        done: list[Delivered] = []
        kept = self._ready is not None
        if not kept:
            self._left = list(self._route.hosts)
        while True:
            refused = await self._connect()
            if refused is not None:
                self.unreachable = None if done else refused
                return done + [Delivered(row, refused) for row in parcel.rows]
            results, broken = await self._transact(parcel)
            again = [one.row for one in results if broken and not (one.reply.ok or one.reply.permanent)]
            if again and kept:
                # A connection that was kept may have ended meanwhile, which says nothing about the server.
                self._left, kept = list(self._route.hosts), False
            elif not again or not self._left:
                return done + results
            # The connection broke before the message was out: the next server gets those that have no answer yet.
            done += [one for one in results if one.row not in again]
            parcel = parcel.only(again)

    async def close(self) -> None:
        """Take leave of the server."""
        if self._conversation is not None and self._ready is not None:
            self._conversation.client.quit()
            await self._conversation.next()  # Closed
        await self._drop()

    async def _drop(self) -> None:
        conversation, self._conversation, self._ready = self._conversation, None, None
        if conversation is not None:
            await conversation.stream.close()

    async def _connect(self) -> Reply | None:
        """Have a server that is ready for a message; None, or why there is none."""
        why = UNREACHABLE
        while self._ready is None:
            if not self._left:
                return why
            host = self._left.pop(0)
            for tls in self._manners():
                reply = await self._greet(host, tls)
                if reply is not HANDSHAKE_FAILED:
                    break
            if reply is not None:
                why = reply
        return None

    def _manners(self) -> tuple[Tls, ...]:
        # Opportunistic: a broken STARTTLS must not be worse than none (RFC 7435 §3).
        return (Tls.OPPORTUNISTIC, Tls.NEVER) if self._route.tls is Tls.OPPORTUNISTIC else (self._route.tls,)

    async def _greet(self, host: Host, tls: Tls) -> Reply | None:
        """Connect to one address, up to being ready; None, or why not."""
        try:
            stream = await self._means.dialer.dial(host.address, self._route.port, seconds=DIAL_SECONDS)
        except OSError:
            return Reply(451, "4.4.1", f"{host.name} [{host.address}] took no connection")
        client = Client(ClientConfig(self._route.hostname, tls, self._route.credentials))
        conversation = Conversation(stream, client, host.name, verify=self._route.verify)
        reply: Reply | None = UNREACHABLE
        try:
            if tls is Tls.IMPLICIT:
                await conversation.secure()
            event = await conversation.next()
            if isinstance(event, Failed):
                reply = _temporary(event.reply, host)
            elif isinstance(event, Ready) and not self._route.smarthost and self._is_us(client.greeting):
                reply = LOOPS
            elif isinstance(event, Ready):
                self._host, self._conversation, self._ready, reply = host, conversation, event, None
        except TlsFailed:
            reply = HANDSHAKE_FAILED
        finally:
            if reply is not None:
                await stream.close()
        return reply

    def _is_us(self, greeting: str) -> bool:
        # RFC 5321 §4.2: the greeting begins with the server's name.
        return greeting.partition(" ")[0].lower() == self._route.hostname.lower()

    async def _transact(self, parcel: Parcel) -> tuple[list[Delivered], bool]:
        """One transaction: how it ended for each row, and whether the connection broke before the message was out."""
        conversation, ready, host = self._conversation, self._ready, self._host
        if conversation is None or ready is None or host is None:
            raise RuntimeError("not connected")
        self._ready = None
        tls = " ".join(conversation.stream.tls.get(fact, "") for fact in ("version", "cipher")).strip()
        conversation.client.send(parcel.envelope)
        try:
            outcome = await self._hand_over(conversation, parcel)
        except StoreError:
            await self._drop()
            return [Delivered(row, UNREADABLE) for row in parcel.rows], False
        if outcome is None:
            await self._drop()
            return [], False
        results = [
            Delivered(row, reply, host.name, tls, "DSN" in ready.capabilities)
            for row, reply in zip(parcel.rows, outcome.replies, strict=True)
        ]
        following = await conversation.next()
        if isinstance(following, Ready):
            self._ready = following
            return results, False
        await self._drop()
        return results, not outcome.uncertain

    async def _hand_over(self, conversation: Conversation, parcel: Parcel) -> Outcome | None:
        """Feed the engine the message. None when a claim was lost: the message must not be completed then.

        Raises StoreError when the message cannot be read to its end.
        """
        sent = 0
        async with contextlib.aclosing(parcel.chunks(self._means.reader)) as chunks:
            event = await conversation.next()
            while isinstance(event, WantBody):
                chunk = await anext(chunks, b"")
                sent += len(chunk)
                if not chunk and sent != parcel.size:
                    raise StoreError(Reason.UNAVAILABLE, "the message is shorter than it was")
                if not chunk and not await self._means.hold(parcel):
                    return None
                conversation.client.body(chunk)
                await conversation.flush()
                event = await conversation.next()
        return event if isinstance(event, Outcome) else None


def _temporary(reply: Reply, host: Host) -> Reply:
    """What a server says before a message was offered is about itself, not about the message: it is tried again."""
    detail = reply.enhanced[1:] if reply.enhanced[:1] in ("4", "5") else ".4.0"
    return Reply(450, f"4{detail}", f"{host.name} [{host.address}] said: {reply}")
