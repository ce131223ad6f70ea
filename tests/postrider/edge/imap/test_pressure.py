"""Clients that read slowly, or not at all, cost little and hold up nobody."""

from __future__ import annotations

import asyncio

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
