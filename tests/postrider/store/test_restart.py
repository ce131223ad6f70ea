"""What a store is after it was closed, or its process killed, and opened again."""

import asyncio
import dataclasses
import io
import json
import os

import apsw
import pytest
from stored import ALICE, EVERY_LANE, INBOX, NOON, append, balanced, enqueue, intake

from postrider.store import transactions as t
from postrider.store.open import open_local
from postrider.store.packs import pack_path
from postrider.store.transactions import Outcome, Reason, StoreError
from postrider.telemetry.events import Events


async def test_everything_is_there_again(data, options):
    store = open_local(data, options)
    await store.writer.commit(intake(ALICE, data=b"kept", enqueue=(enqueue(),), thread_keys=(b"k",)))
    await store.writer.commit(t.SetFlags(ALICE, INBOX, (1,), t.FlagChange.ADD, 1, ("kw",)))
    await store.writer.commit(t.Remember("key", b"value", NOON + 60))
    seen = [await getattr(store.reader, name)(*args) for name, args in READS]
    await store.close()
    again = open_local(data, options)
    assert [await getattr(again.reader, name)(*args) for name, args in READS] == seen
    (row,) = await again.reader.messages(ALICE, INBOX, [1])
    assert await again.reader.body(ALICE, row.blob) == b"kept"
    assert (await again.writer.commit(append())).target == (2,)
    await again.close()


READS = (
    ("mailboxes", (ALICE,)),
    ("messages", (ALICE, INBOX, [1])),
    ("queue", ()),
    ("counters", ()),
    ("usage", (ALICE,)),
    ("recall", ("key", NOON)),
)


async def test_claims_of_the_dead_are_free_at_once_and_fenced(data, options):
    store = open_local(data, options)
    await store.writer.commit(intake(enqueue=(enqueue(), enqueue("x@d.test"))))
    dead, spared = await store.writer.commit(t.Claim(EVERY_LANE, NOON, 3600, 10))
    await store.close()
    again = open_local(data, options)
    (row,) = await again.writer.commit(t.Claim(EVERY_LANE, NOON, 60, 1))
    assert row.id == dead.id
    assert row.epoch > dead.epoch
    with pytest.raises(StoreError) as caught:
        await again.writer.commit(t.Settle((t.Settlement(dead.id, dead.epoch, Outcome.DELIVERED),)))
    assert caught.value.reason is Reason.FENCED
    assert spared.id in [left.id for left in await again.reader.queue()]
    await again.close()


async def test_a_closed_store_says_so(data, options):
    store = open_local(data, options)
    await store.close()
    with pytest.raises(StoreError) as caught:
        await store.writer.commit(append())
    assert caught.value.reason is Reason.UNAVAILABLE


@pytest.mark.parametrize("keep", [False, True])
async def test_removed_folders_leave_nothing_behind(data, options, keep):
    store = open_local(data, options)
    for name in ("one", "two"):
        made = await store.writer.commit(t.CreateMailbox(ALICE, name))
        for _ in range(3):
            await store.writer.commit(append(made.id, *[b"x"] * 200, flags=8, thread_keys=(b"k",)))
        await store.writer.commit(t.Expunge(ALICE, made.id, (1, 5)))
    # The account goes while most of the folder is still on its way into the undelete window.
    await asyncio.gather(*map(store.writer.commit, (t.DeleteMailbox(ALICE, made.id, keep), t.Release(ALICE))))
    db = apsw.Connection(str(data / "mail.db"))
    async with asyncio.timeout(60):
        while db.execute("SELECT count(*) FROM doomed").fetchone() != (0,):
            await asyncio.sleep(0.01)
    gone = ("account", "mailbox", "email", "message", "vanished", "thread_key", "blob", "doomed", "expunged", "former")
    for table in gone:
        assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    assert db.execute("SELECT sum(dead) FROM pack").fetchone()[0] > 0
    db.close()
    await store.close()


async def test_folders_that_never_had_a_message_leave_no_name(data, options):
    store = open_local(data, options)
    empty, used = [await store.writer.commit(t.CreateMailbox(ALICE, name)) for name in ("empty", "used")]
    await store.writer.commit(append(used.id))
    for made in (empty, used):
        await store.writer.commit(t.DeleteMailbox(ALICE, made.id, keep=True))
    db = apsw.Connection(str(data / "mail.db"))
    assert db.execute("SELECT name FROM former").fetchall() == [("used",)]
    db.close()
    await store.close()


async def test_a_folder_gives_no_uid_that_is_none(data, options):
    store = open_local(data, options)
    await store.writer.commit(append())
    db = apsw.Connection(str(data / "mail.db"))
    db.setbusytimeout(10_000)  # the writer may be at its upkeep
    db.execute("UPDATE mailbox SET uidnext = 4294967294 WHERE id = 1")
    db.close()
    await store.writer.commit(append())
    for txn in (t.Copy(ALICE, INBOX, (1,), INBOX), append(), intake(ALICE)):
        with pytest.raises(StoreError) as caught:
            await store.writer.commit(txn)
        assert caught.value.reason is Reason.LIMIT
    assert list(await store.reader.uids(ALICE, INBOX)) == [1, 4294967294]
    assert (await store.reader.mailbox(ALICE, INBOX)).uidnext == 4294967295  # is a UID too (RFC 9051 §2.3.1.1)
    assert (await store.reader.usage(ALICE))[1] == 2
    await store.close()


async def test_packs_that_were_taken_away_are_told_and_the_rest_is_served(data, options):
    store = open_local(data, options)
    bodies = [os.urandom(100_000) for _ in range(4)]
    for body in bodies:
        await store.writer.commit(intake(ALICE, data=body))
    await store.close()
    pack_path(data / "packs", 1).unlink()
    log = io.StringIO()
    again = open_local(data, dataclasses.replace(options, events=Events(log)))
    told = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [event["packs"] for event in told if event["event"] == "store.damaged"] == [[1]]
    rows = await again.reader.messages(ALICE, INBOX, [1, 4])
    with pytest.raises(StoreError) as caught:
        await again.reader.body(ALICE, rows[0].blob)
    assert caught.value.reason is Reason.UNAVAILABLE
    assert await again.reader.body(ALICE, rows[1].blob) == bodies[3]
    assert balanced(await again.reader.counters())
    await again.close()
