"""Runs the sending engine over one stream: bytes to the peer, bytes from it, time-outs and STARTTLS."""

from __future__ import annotations

import asyncio

from postrider.model.ports import Stream
from postrider.protocols.engine import NEED_DATA, StartTls
from postrider.protocols.smtp.client import Client

#: Seconds for what a server may have said before it hung up.
LAST_WORDS_SECONDS = 5.0


class TlsFailed(Exception):
    """The handshake did not succeed; the connection is of no further use."""


class Conversation:
    """One connection to a server."""

    def __init__(self, stream: Stream, client: Client, server_name: str, *, verify: bool) -> None:
        self.client = client
        self.stream = stream
        self._server_name = server_name
        self._verify = verify
        self._loop = asyncio.get_running_loop()

    async def next(self) -> object:
        """The engine's next event, once there is one. Raises TlsFailed."""
        heard, deadline = -1, 0.0
        while True:
            event = self.client.next_event()
            if event is NEED_DATA:
                await self.flush()
                # RFC 5321 §4.5.3.2: the time is for a reply. A server that says an octet a minute must not keep us.
                if self.client.heard != heard:
                    heard, deadline = self.client.heard, self._loop.time() + self.client.timeout
                await self._read(deadline)
            elif isinstance(event, StartTls):
                await self.flush()
                await self.secure()
                self.client.tls_started()
            else:
                return event

    async def secure(self) -> None:
        """Do the TLS handshake. Raises TlsFailed."""
        try:
            async with asyncio.timeout(self.client.timeout):
                await self.stream.start_tls(self._server_name, verify=self._verify)
        except OSError as error:  # TimeoutError and ssl.SSLError are OSErrors
            raise TlsFailed(str(error)) from error

    async def flush(self) -> None:
        """Send what the engine has to say."""
        data = self.client.take_output()
        if not data:
            return
        try:
            async with asyncio.timeout(self.client.timeout):
                await self.stream.write(data)
        except TimeoutError:
            self.client.timed_out()
        except OSError:
            await self._last_words()

    async def _last_words(self) -> None:
        """The connection broke while we wrote: what the server said before it hung up explains why."""
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                while data := await self.stream.read():
                    self.client.feed(data)
        except OSError:
            pass  # nothing more will come, which is what the engine hears next
        self.client.feed(b"")

    async def _read(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                data = await self.stream.read()
        except TimeoutError:
            self.client.timed_out()
        except OSError:
            self.client.feed(b"")
        else:
            self.client.feed(data)
