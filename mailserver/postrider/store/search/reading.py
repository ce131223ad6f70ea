"""Reads from the store what of a message is searched: its whole header, and the texts of its body, no attachment."""

from __future__ import annotations

import asyncio

from postrider.mime.cached import from_cache
from postrider.mime.parse import scan
from postrider.mime.text import names, passages
from postrider.model.mail import Content
from postrider.store.ports import Reader
from postrider.store.values import Account, MessageRow

#: Bodies up to this many octets are read as one, and texts are decoded without a thread.
WHOLE = 128 * 1024


async def content_of(reader: Reader, account: Account, row: MessageRow) -> Content:
    """What was cached about a message at delivery, found anew where that is old. Raises StoreError."""
    content = from_cache(row.cached)
    return scan(await reader.body(account, row.blob)) if content is None else content


async def header_of(reader: Reader, account: Account, row: MessageRow, content: Content) -> bytes:
    """The header block, prefix and all. Raises StoreError."""
    header = content.header
    if not header and content.root.body:  # too long to be cached
        header = await reader.body(account, row.blob, 0, content.root.body)
    return row.prefix + header


async def texts_of(reader: Reader, account: Account, row: MessageRow, content: Content) -> list[str]:
    """The texts of the body, unfolded: those of `postrider.mime.text.searchable`. Raises StoreError."""
    found = list(names(content.root))
    body = await reader.body(account, row.blob) if row.blob.size <= WHOLE else b""
    for passage in passages(content.root):
        if body:
            octets = body[passage.start : passage.end]
        else:
            octets = await reader.body(account, row.blob, passage.start, passage.end - passage.start)
        # A stranger may make some megabytes of text take seconds, in which nobody else must have to wait.
        found.append(passage.text(octets) if body else await asyncio.to_thread(passage.text, octets))
    return found
