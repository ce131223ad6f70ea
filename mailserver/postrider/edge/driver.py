"""Runs any engine over sockets: TLS, time-outs, back-pressure, draining. Knows no protocol and decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, cast

from postrider.edge.peer import acknowledge, peer_of, reason_of, tls_of
from postrider.edge.session import Session
from postrider.protocols.engine import NEED_DATA, Closed, StartTls

if TYPE_CHECKING:
    from postrider.edge.listener import Listener

#: Seconds for a TLS handshake, and for a peer to take what we said last.
HANDSHAKE_SECONDS = 30.0
LINGER_SECONDS = 30.0
#: Seconds a peer may leave our output unread before the connection is cut.
STALL_SECONDS = 300.0
#: What the transport holds for a slow reader before the conversation stops, in bytes.
OUTPUT_HIGH_WATER = 128 * 1024
#: Octets of a command that give a peer new time though the command is not whole: an octet a minute does not.
_PROGRESS = 1024
#: Events handled before output is sent, so that a pipelining peer cannot pile it up.
_EVENTS_PER_FLUSH = 64


class Connection(asyncio.Protocol):
    """One connection, as its session sees it: who is there, and sending what the engine has to say.

    Events are handled right where bytes arrive; a task exists only while a handler waits for something.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = self._timer_at = 0.0
        self._moved = True  # something happened since the deadline was set
        self._heard = 0  # octets that came since then
        self._paused = False  # we asked the transport not to read
        self._stalled = False  # the peer does not read
        self._unstalled: asyncio.Future[None] | None = None
        self._upgrading = False
        self._early: list[bytes] | None = None  # decrypted before the session knew of the handshake
        self._closing = False
        #: The connection is gone.
        self.closed = False
        self.ip = ""
        self.port = 0
        #: "", or version and cipher as in "TLSv1.3 TLS_AES_256_GCM_SHA384".
        self.tls = ""

    # -- for the session -----------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what the engine has to say now; for news that no command asked for."""
        if self._session is not None and self._transport is not None and not (self.closed or self._upgrading):
            output = self._session.engine.take_output()
            if output:
                self._moved = True
                self._transport.write(output)

    async def send(self) -> None:
        """flush(), and wait while the peer reads slowly. Raises ConnectionError when the connection is gone."""
        self.flush()
        if self._stalled and not self.closed:
            if self._unstalled is None:
                self._unstalled = self._loop.create_future()
            await asyncio.shield(self._unstalled)
        if self.closed:
            raise ConnectionResetError("the connection is gone")

    def acknowledge(self) -> None:
        """Acknowledge at once what has come: the peer may keep back its next octets until then (RFC 896)."""
        if self._transport is not None and not self.closed:
            acknowledge(self._transport)

    def wake(self) -> None:
        """Ask the engine for events again, after something else than input may have made one."""
        if self._session is not None and self._task is None and not self._upgrading:
            self._proceed()

    def close(self) -> None:
        """Send what is left and close."""
        if self._transport is None or self._closing:
            return
        self.flush()
        self._closing = True
        self._transport.close()
        self._set_timer(self._loop.time() + LINGER_SECONDS)

    def abort(self) -> None:
        """Cut the connection."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    # -- for the listener ----------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Finish what is under way, say goodbye and close."""
        if self._session is None:
            self.abort()
            self._gone()
            return
        self._session.engine.drain()
        self.wake()

    def cut(self) -> asyncio.Task[None] | None:
        """The time for draining is over: a last word where nothing is under way; else the task that was cancelled."""
        task = self._task
        if task is not None:
            task.cancel()
            self.abort()
        elif self._session is not None and not self._stalled:
            self._session.engine.timed_out()
            self._proceed()
        else:
            self.abort()
        return task

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected, and has shaken hands where TLS comes first."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not derived from it
        self.ip, self.port = peer_of(transport.get_extra_info("peername"))
        if not self._listener.admitted(self):
            self._transport.write(self._listener.service.busy)
            self._closing = True
            self._transport.close()
            return
        self._transport.set_write_buffer_limits(high=OUTPUT_HIGH_WATER)
        self.tls = tls_of(self._transport)
        try:
            self._session = self._listener.service.open(self)
        except Exception:
            self._report()
            self.abort()
            return
        self._proceed()

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        session = self._session
        self._heard += len(data)
        if self._upgrading:
            # Only what came through the handshake; reading in clear has stopped before.
            if self._early is not None:
                self._early.append(data)
        elif session is None or self._closing:
            pass
        elif self._task is None and not self._stalled:
            session.engine.feed(data)
            self._proceed()
        else:
            session.engine.feed(data)
            self._pause()

    def eof_received(self) -> bool:
        """The peer will send no more; it may still read."""
        if self._session is None or self._upgrading:
            return False
        self._session.engine.feed(b"")
        if self._task is None and not self._stalled:
            self._proceed()
        return not self.tls

    def pause_writing(self) -> None:
        """The peer does not read what we send."""
        self._stalled = self._moved = True
        self._set_timer(self._loop.time() + STALL_SECONDS)

    def resume_writing(self) -> None:
        """It reads again."""
        self._stalled = False
        if self._unstalled is not None:
            self._unstalled.set_result(None)
            self._unstalled = None
        if self._task is None and self._session is not None and not self._closing:
            self._resume()
            self._proceed()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._gone()

    # -- the conversation ----------------------------------------------------------------------------------------

    def _proceed(self) -> None:
        pending = self._next()
        if pending is not None:
            self._task = self._loop.create_task(self._work(pending))

    def _next(self) -> Awaitable[None] | None:
        """Handle events until more input is needed (None) or a handler has to wait for something."""
        session = self._session
        if session is None or self.closed or self._closing:
            return None
        try:
            return self._converse(session)
        except Exception:
            self._report()
            self.abort()
            return None

    def _converse(self, session: Session) -> Awaitable[None] | None:
        engine, budget = session.engine, _EVENTS_PER_FLUSH
        while not self._stalled:
            event = engine.next_event()
            if event is NEED_DATA:
                self.flush()
                if self._moved or self._heard >= _PROGRESS:
                    self._moved, self._heard = False, 0
                    self._set_timer(self._loop.time() + engine.timeout)
                return None
            self._moved = True
            if isinstance(event, Closed):
                self.close()
                return None
            if isinstance(event, StartTls):
                self._upgrade()
                return None
            try:
                pending = session.handle(event)
            except Exception:
                self._fail()
                continue
            if pending is not None:
                self.flush()
                return pending
            budget -= 1
            if not budget:
                self.flush()
                budget = _EVENTS_PER_FLUSH
        self._pause()  # resume_writing goes on
        return None

    async def _work(self, pending: Awaitable[None] | None) -> None:
        """Wait for handlers, one after the other, until input is needed."""
        myself = self._task
        try:
            while pending is not None:
                try:
                    await pending
                except ConnectionError:
                    if not self.closed:
                        self._fail()
                except Exception:
                    self._fail()
                if self.closed or self._stalled:
                    break
                pending = self._next()
        finally:
            if self._task is myself:  # else a handshake has begun
                self._task = None
                if self.closed:
                    self._release()
        if not (self.closed or self._closing or self._upgrading or self._stalled):
            self._resume()

    def _fail(self) -> None:
        self._report()
        try:
            if self._session is not None:
                self._session.failed()
        except Exception:
            self._report()
            self.abort()

    def _report(self) -> None:
        events, name = self._listener.surroundings.events, self._listener.service.name
        events.emit("server.failure", listener=name, ip=self.ip, exc_info=True)

    # -- TLS -----------------------------------------------------------------------------------------------------

    def _upgrade(self) -> None:
        """Stop reading before the peer is told to begin, so that nothing it sends in clear is ever seen."""
        self._pause()
        self.flush()
        self._upgrading = True
        self._task = self._loop.create_task(self._handshake())

    async def _handshake(self) -> None:
        secured: asyncio.Transport | None = None
        try:
            secured = await self._start_tls()
        finally:
            self._task = None
            if secured is None or self.closed:
                self.abort()
                self._gone()
                self._release()
        if secured is not None and not self.closed:
            self._secured(secured)

    async def _start_tls(self) -> asyncio.Transport | None:
        transport, tls = self._transport, self._listener.bind.tls
        if transport is None or tls is None or self.closed:
            return None
        self._early = []  # from here on the transport belongs to TLS, and data arrives decrypted
        try:
            secured = await self._loop.start_tls(
                transport,
                self,
                tls(),
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=LINGER_SECONDS,
            )
        except (OSError, EOFError) as error:  # ssl.SSLError and time-outs are OSErrors
            self._listener.surroundings.events.emit(
                "tls.failed", listener=self._listener.service.name, ip=self.ip, reason=reason_of(error)
            )
            return None
        except Exception:
            self._report()
            return None
        return cast("asyncio.Transport", secured)

    def _secured(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._paused = self._upgrading = False
        transport.set_write_buffer_limits(high=OUTPUT_HIGH_WATER)
        self.tls = tls_of(transport)
        early, self._early = self._early or [], None
        if self._session is not None:
            self._session.engine.tls_started()
            self._proceed()
        for data in early:
            self.data_received(data)

    # -- reading, timing, ending ---------------------------------------------------------------------------------

    def _pause(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _set_timer(self, deadline: float) -> None:
        """One timer a connection: a deadline that moves on costs nothing, only an earlier one is set anew."""
        self._deadline = deadline
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(deadline, self._on_timer), deadline

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline > self._loop.time() + 0.001:
            self._set_timer(self._deadline)
        elif self._closing or self._stalled:
            self.abort()
        elif self._task is None and self._session is not None:
            self._session.engine.timed_out()
            self._proceed()

    def _gone(self) -> None:
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._unstalled is not None:
            self._unstalled.set_result(None)
            self._unstalled = None
        if self._task is None:
            self._release()

    def _release(self) -> None:
        """Nothing runs any more: the session lets go of what it holds, the listener forgets the connection."""
        session, self._session = self._session, None
        if session is not None:
            try:
                session.lost()
            except Exception:
                self._report()
        self._listener.forget(self)
