"""What is cached is used, what is not is found anew and written back, and a full disk keeps nobody from reading."""

from __future__ import annotations

import hashlib

import pytest
import pytest_asyncio

from postrider.mailbox import contents
from postrider.mailbox.contents import Contents
from postrider.mime.cached import from_cache, to_cache
from postrider.mime.parse import examine
from postrider.store.open import open_local
from postrider.store.transactions import Deliver, Intake, Reason, StoreError
from postrider.store.values import Body, account_of

ALICE = account_of("default", "alice@example.org")
MESSAGE = b"Subject: one\r\n\r\nwords\r\n"
PREFIX = b"Message-ID: <added@example.org>\r\n"


class Full:
    """A writer without room."""

    async def commit(self, txn):
        raise StoreError(Reason.NO_SPACE)


@pytest_asyncio.fixture
async def store(tmp_path):
    found = open_local(tmp_path)
    yield found
    await found.close()


async def delivered(store, cached=b"", message=MESSAGE):
    """The row of a message that came in with this cached about it."""
    body = Body(hashlib.sha256(message).digest(), len(message), message)
    done = await store.writer.commit(Intake(body, "", 0, cached, deliver=(Deliver(ALICE, PREFIX),)))
    return await row_of(store, done.stored[0])


async def row_of(store, where):
    (row,) = await store.reader.messages(ALICE, where.mailbox_id, [where.uid])
    return row


async def again(store, row):
    (inbox,) = [one for one in await store.reader.mailboxes(ALICE) if one.name == "INBOX"]
    (found,) = await store.reader.messages(ALICE, inbox.id, [row.uid])
    return found


async def test_what_is_cached_is_used(store):
    known, _ = examine(MESSAGE)
    row = await delivered(store, to_cache(known))
    assert await Contents(store, ALICE).of(row) == known


@pytest.mark.parametrize("cached", [b"", b"\xc1damaged", to_cache(examine(b"other")[0])[:-2]])
@pytest.mark.parametrize("in_thread", [0, 1 << 20])
async def test_what_is_not_is_found_and_written_back(store, cached, in_thread, monkeypatch):
    monkeypatch.setattr(contents, "IN_THREAD", in_thread)
    row = await delivered(store, cached)
    asked = Contents(store, ALICE)
    found = await asked.of(row)
    assert found == examine(MESSAGE, PREFIX)[0]
    assert found.envelope.message_id == b"<added@example.org>"
    assert (await again(store, row)).cached == cached
    await asked.keep()
    kept = await again(store, row)
    assert from_cache(kept.cached) == found
    assert kept.modseq == row.modseq


async def test_many_are_written_back_in_slices(store, monkeypatch):
    monkeypatch.setattr(contents, "SLICE", 2)
    rows = [await delivered(store, message=MESSAGE + b"%d" % number) for number in range(5)]
    asked = Contents(store, ALICE)
    for row in rows:
        await asked.of(row)
    await asked.keep()
    assert all([from_cache((await again(store, row)).cached) is not None for row in rows])


async def test_a_full_disk_keeps_nobody_from_reading(store):
    row = await delivered(store)
    store.writer = Full()
    asked = Contents(store, ALICE)
    found = await asked.of(row)
    await asked.keep()
    assert found.envelope.subject == b"one"
    assert (await again(store, row)).cached == b""
