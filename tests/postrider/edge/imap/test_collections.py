"""Every message of the public collections comes back as it was handed over, whole and in parts."""

from __future__ import annotations

import hashlib
import re

import mime_rules
import pytest

from postrider.ingest.content import content
from postrider.mime.parse import scan
from postrider.store.transactions import Append, NewMessage
from postrider.store.values import Body

_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")


async def literals(wire, command):
    """The literals in the answer to a command that ends with OK."""
    await wire.say(b"x " + command.encode() + b"\r\n")
    found = []
    while not (line := await wire.line()).startswith(b"x "):
        if match := _LITERAL.search(line):
            found.append(await wire.reader.readexactly(int(match[1])))
    assert line.startswith(b"x OK"), line
    return found


async def test_collected_messages_come_back_unchanged(connect, site):
    messages = [path.read_bytes() for path in mime_rules.collected()]
    if not messages:
        pytest.skip(f"no messages under {mime_rules.suites()}: public test vectors are not on this machine")
    async with connect() as one:
        await one.ask("SELECT INBOX")
        (inbox,) = [row for row in await site.store.reader.mailboxes(site.alice) if row.name == "INBOX"]
        new = [
            NewMessage(Body(hashlib.sha256(data).digest(), len(data), data), 0, content(data)[0]) for data in messages
        ]
        await site.store.writer.commit(Append(site.alice, inbox.id, tuple(new)))
        await one.ask("NOOP")
        for number, data in enumerate(messages, 1):
            header, text, whole, head = await literals(
                one, f"FETCH {number} (BODY.PEEK[HEADER] BODY.PEEK[TEXT] BODY.PEEK[] BODY.PEEK[]<0.100>)"
            )
            assert header + text == whole == data
            assert head == data[:100]
            parts = list(mime_rules.numbered(scan(data).root))[:20]
            items = " ".join(f"BODY.PEEK[{'.'.join(map(str, path))}]" for path, _ in parts)
            assert await literals(one, f"FETCH {number} ({items})") == [data[part.body : part.end] for _, part in parts]
