"""Clients that read slowly, or not at all, cost little and hold up nobody."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading

import pytest

from postrider.mailbox import matching
from postrider.mime import text

LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 64 * 1024  # 1 MiB


async def test_output_waits_for_the_reader(connect, site):
    async with connect() as slow, connect() as other:
        for _ in range(12):
            await slow.append(LARGE)
        await slow.ask("SELECT INBOX")
        slow.reader._transport.pause_reading()
        await slow.say(b"big UID FETCH 1:* BODY.PEEK[]\r\n")
        # The kernel takes some, the server's transport a little, and then it waits; the other session does not.
        for _ in range(50):
            await other.ask("NOOP")
            await asyncio.sleep(0.002)
        held = [link._transport.get_write_buffer_size() for link in site.tls._connections]
        assert max(held) < 1024 * 1024
        await other.append(b"Subject: meanwhile\r\n\r\n", "INBOX")
        slow.reader._transport.resume_reading()
        lines = await slow.until(b"big ")
        assert sum(map(len, lines)) > 12 * len(LARGE)
        assert lines[-1].startswith(b"big OK")
        assert b"* 13 EXISTS\r\n" in lines[-3:]


async def test_a_client_that_goes_in_the_middle_is_forgotten(connect, site, tmp_path, log):
    async with connect() as one:
        await one.append(LARGE)
        await one.ask("SELECT INBOX")
        await one.say(b"big FETCH 1 BODY.PEEK[]\r\n")
        await one.line()
        one.writer.transport.abort()
    async with connect() as two:
        await two.say(b"a APPEND INBOX {1000000+}\r\n" + b"x" * 500_000)
        while not list(tmp_path.glob("spool-*")):
            await asyncio.sleep(0.01)
        two.writer.transport.abort()
        while list(tmp_path.glob("spool-*")):
            await asyncio.sleep(0.01)
    while site.tls._connections:
        await asyncio.sleep(0.01)
    assert "server.failure" not in log.getvalue()


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="this system acknowledges when it likes")
async def test_a_client_that_sends_the_end_of_an_append_apart_does_not_wait(connect, site):
    async with connect() as one:
        (link,) = site.tls._connections
        ours = link._transport.get_extra_info("socket")
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        await one.say(b"a APPEND INBOX {20}\r\n")
        await one.until(b"+")
        await one.say(b"x" * 19)
        await one.say(b"x")
        async with asyncio.timeout(30):
            while not ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK):
                await asyncio.sleep(0.005)
        await one.say(b"\r\n")
        assert (await one.until(b"a "))[-1].startswith(b"a OK [APPENDUID")


async def test_a_search_in_megabytes_of_text_lets_others_go_on(connect, monkeypatch):
    def noting(work, where):
        def noted(*args):
            where.append(threading.current_thread() is threading.main_thread())
            return work(*args)

        return noted

    decoded, folded = [], []
    async with connect() as one:
        await one.append(b"Subject: small\r\n\r\nfew words\r\n")
        await one.append(LARGE)
        await one.ask("SELECT INBOX")
        monkeypatch.setattr(text, "decode_charset", noting(text.decode_charset, decoded))
        monkeypatch.setattr(matching, "fold", noting(matching.fold, folded))
        assert (await one.ask("SEARCH 2 BODY nowhere"))[0] == b"* SEARCH\r\n"
        assert decoded == [False]
        assert False in folded  # the others are of what is searched
        assert (await one.ask("SEARCH 1 BODY few"))[0] == b"* SEARCH 1\r\n"
        assert decoded == [False, True]


async def test_a_damaged_message_does_not_hide_the_others(connect, tmp_path, log):
    async with connect() as one:
        messages = [b"Subject: x\r\n\r\n" + word * 1000 + b"\r\n" for word in (b"first", b"damaged", b"third")]
        for message in messages:
            await one.append(message)
        (pack,) = (tmp_path / "data" / "packs").glob("*.pack")
        data = pack.read_bytes()
        named = data.index(hashlib.sha256(messages[1]).digest())
        last = data.index(b"PRec", named) - 8  # fewer zeros than that stand between two records
        with pack.open("r+b") as file:
            file.seek(last)
            file.write(bytes([data[last] ^ 0xFF]))
        await one.ask("SELECT INBOX")
        lines = await one.ask("FETCH 1:* (UID BODY.PEEK[])")
        assert [line for line in lines if line.startswith(b"* ")] == [
            b"* 1 FETCH (UID 1 BODY[] {5016}\r\n", b"* 3 FETCH (UID 3 BODY[] {5016}\r\n"
        ]  # fmt: skip
        assert b"NO [UNAVAILABLE] Some messages could not be read" in lines[-1]
        assert '"uid":2,"event":"store.unavailable"' in log.getvalue()
        assert "Traceback" not in log.getvalue()
        lines = await one.ask("UID SEARCH NOT BODY third")
        assert lines[0] == b"* SEARCH 1\r\n"
        assert b"OK Done, but for 1 that could not be read" in lines[-1]
        assert "search.unread" in log.getvalue()
