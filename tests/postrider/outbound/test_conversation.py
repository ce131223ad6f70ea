"""The sending engine over one stream: servers that keep us waiting."""

from __future__ import annotations

import asyncio
from collections import deque

from postrider.outbound.conversation import Conversation
from postrider.protocols.smtp import client
from postrider.protocols.smtp.client import Client, ClientConfig, Tls
from postrider.protocols.smtp.events import Failed, Ready


class Drip:
    """A stream on which each piece takes its time."""

    def __init__(self, pieces, seconds):
        self.tls = {}
        self.local = self.peer = ""
        self._pieces = deque(pieces)
        self._seconds = seconds

    async def read(self):
        await asyncio.sleep(self._seconds)
        return self._pieces.popleft()

    async def write(self, data):
        pass

    async def close(self):
        pass


def conversation(pieces, seconds):
    engine = Client(ClientConfig("mx.one.test", Tls.NEVER))
    return Conversation(Drip(pieces, seconds), engine, "mx.two.test", verify=False)


async def test_a_reply_that_comes_octet_by_octet_has_the_time_of_one_reply(monkeypatch):
    monkeypatch.setattr(client._Step.GREETING, "seconds", 0.05)
    event = await conversation([b"2"] * 500, 0.02).next()
    assert isinstance(event, Failed)
    assert event.reply.text == "the server did not answer in time (connect)"


async def test_replies_may_come_in_pieces():
    pieces = [b"220 mx", b".two.test\r\n250-mx.", b"two.test\r\n", b"250 SIZE 1\r\n"]
    event = await conversation(pieces, 0.0).next()
    assert isinstance(event, Ready)
    assert event.capabilities == {"SIZE": "1"}
