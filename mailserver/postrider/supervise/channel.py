"""Words between supervisor and child: JSON lines over a socket pair that is also the lifeline.

A child whose supervisor is gone reads the end of the stream and ends at once: whatever was acknowledged is durable.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import msgspec


class Word(msgspec.Struct, frozen=True, tag=True):
    """The common shape: tagged with its class name."""


class Load(Word, frozen=True):
    """Supervisor: serve this generation; it lies in Settings.kept_snapshot."""

    generation: int


class Drain(Word, frozen=True):
    """Supervisor: take nothing new, finish what is under way within so many seconds, then end."""

    seconds: float


class Ready(Word, frozen=True):
    """Child: everything of mine is open and serving."""


class Loaded(Word, frozen=True):
    """Child: I serve this generation."""

    generation: int


AnyWord = Load | Drain | Ready | Loaded

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyWord] = msgspec.json.Decoder(AnyWord)


class Channel:
    """One end of the pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Channel:
        """Take over one end of a socket pair."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def say(self, word: AnyWord) -> None:
        """Send a word; a peer that is gone is noticed by `words`, not here."""
        if not self._writer.is_closing():
            self._writer.write(_encoder.encode(word) + b"\n")

    async def words(self) -> AsyncIterator[AnyWord]:
        """What the other end says, until it is gone."""
        while line := await self._line():
            yield _decoder.decode(line)

    async def _line(self) -> bytes:
        try:
            line = await self._reader.readline()
        except ConnectionError:  # it went while we spoke
            return b""
        return line if line.endswith(b"\n") else b""

    def close(self) -> None:
        """Let the other end read the end of the stream."""
        self._writer.close()
