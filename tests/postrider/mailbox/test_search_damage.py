"""What cannot be read is found by no text, hides nobody else, and is told to the operator of the server."""

import dataclasses
import io
import json

import apsw
import pytest
from stored import ALICE, INBOX, MASTERS, NOON, StillClock, body_of

from postrider.ingest.content import content
from postrider.mailbox import query
from postrider.mailbox.candidates import Scope
from postrider.mailbox.view import View
from postrider.net.system import SystemRandom
from postrider.protocols.imap import search as s
from postrider.store import transactions as t
from postrider.store.open import Options, keyring, open_local
from postrider.store.pack_files import pack_path, read_head
from postrider.store.search.indexer import Indexer, Ports
from postrider.store.search.lookup import IndexLookup
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Flag
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

APPLES, PEARS = s.BodyHas("apple", header=False), s.BodyHas("pear", header=False)
#: More than are looked at without the index.
MANY = 120
#: The damaged ones' UIDs; the second of them is flagged.
BAD = (4, 7)


@pytest.fixture
def options():
    return Options(clock=StillClock(), allow_tmpfs=True, measure_sync=False)


@pytest.fixture
def log():
    return io.StringIO()


@pytest.fixture
async def store(tmp_path, options):
    store = open_local(tmp_path, options)
    await fill(store)
    yield store
    await store.close()


async def fill(store):
    """Messages that say apple or pear in turn."""
    messages = []
    for number in range(1, MANY + 1):
        fruit = "pear" if number % 2 else "apple"
        raw = f"Subject: letter {number}\r\n\r\n{fruit} {'x' * number}\r\n".encode()
        cached, _ = content(raw)
        messages.append(t.NewMessage(body_of(raw), NOON, cached, Flag.FLAGGED if number == BAD[1] else 0))
    await store.writer.commit(t.Append(ALICE, INBOX, tuple(messages)))


def damage(directory, uids):
    """Flip a bit in the body of each of these messages."""
    db = apsw.Connection(str(directory / "mail.db"))
    for uid in uids:
        sql = "SELECT pack, start FROM message JOIN email ON email.id = email_id JOIN blob ON blob.id = blob_id"
        ((pack, start),) = db.execute(f"{sql} WHERE uid = ?", (uid,)).fetchall()
        with pack_path(directory / "packs", pack).open("r+b") as file:
            _, _, frames = read_head(file.fileno(), start)
            file.seek(start + frames[0].start)
            (octet,) = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([octet ^ 1]))
    db.close()


async def scope_of(store, log, lookup=None):
    mailbox = await store.reader.mailbox(ALICE, INBOX)
    view = View(mailbox, False, await store.reader.uids(ALICE, INBOX), mailbox.modseq)
    return Scope(store.reader, ALICE, view, lookup, float(NOON), Events(log))


async def found(scope, key):
    """UIDs, and how many could not be read."""
    done = await query.find(scope, key)
    return list(done.uids), done.unread


def uids(*, apples):
    return [uid for uid in range(1, MANY + 1) if (uid % 2 == 0) is apples]


async def test_a_damaged_message_is_found_by_no_text_and_by_no_not_of_one(store, tmp_path, log):
    damage(tmp_path, BAD)
    scope = await scope_of(store, log)
    assert await found(scope, APPLES) == ([uid for uid in uids(apples=True) if uid not in BAD], 2)
    assert await found(scope, s.Not(APPLES)) == ([uid for uid in uids(apples=False) if uid not in BAD], 2)
    both = s.Or(APPLES, s.Not(APPLES))
    assert await found(scope, both) == ([uid for uid in range(1, MANY + 1) if uid not in BAD], 2)
    assert [uid async for uid in query.newest(scope, s.Not(both))] == []


async def test_what_is_known_of_a_damaged_message_still_counts(store, tmp_path, log):
    damage(tmp_path, BAD)
    scope = await scope_of(store, log)
    assert (await found(scope, s.Or(APPLES, s.HasFlags(4))))[0] == [2, 6, 7, *uids(apples=True)[3:]]
    assert await found(scope, s.And((s.HasFlags(4), s.Not(APPLES)))) == ([], 1)
    assert await found(scope, s.And((s.InSet(((1, 10),), by_uid=True), s.HeaderHas(b"subject", "LETTER")))) == (
        list(range(1, 11)),
        0,
    )
    assert (await found(scope, s.BodyHas("letter 4", header=True)))[0] == [4, *range(40, 50)]
    assert (await found(scope, s.BodyHas("", header=False))) == (list(range(1, MANY + 1)), 0)


async def test_it_is_told_once_a_search(store, tmp_path, log):
    damage(tmp_path, BAD)
    await found(await scope_of(store, log), s.Or(APPLES, PEARS))
    (event,) = map(json.loads, log.getvalue().splitlines())
    assert (event["event"], event["level"], event["account"]) == ("search.unread", "error", ALICE)
    assert (event["mailbox"], event["messages"], event["uid"]) == ("INBOX", 2, BAD[0])
    assert "checksum" in event["reason"]


async def test_what_the_index_has_is_not_read(store, tmp_path, log):
    """Were it read it would not be found: nothing here can be."""
    indexer = Indexer(Ports(tmp_path, store.reader, StillClock(), SystemRandom(), Events(log), Metrics()))
    while await indexer.look():
        pass
    lookup = IndexLookup(tmp_path, Events(log))
    damage(tmp_path, range(1, MANY + 1))
    scope = await scope_of(store, log, lookup)
    log.truncate(0)
    assert await found(scope, s.Not(APPLES)) == (uids(apples=False), 0)
    assert await found(scope, s.Or(APPLES, s.HasFlags(4))) == (sorted([*uids(apples=True), BAD[1]]), 0)
    rare = s.BodyHas("letter 77", header=True)
    assert await found(scope, s.And((s.Not(s.Or(rare, APPLES)), s.Not(s.HasFlags(4))))) == (
        [uid for uid in uids(apples=False) if uid not in (77, BAD[1])],
        0,
    )
    assert await found(scope, s.And((PEARS, s.Or(rare, s.HasFlags(4))))) == ([BAD[1], 77], 0)
    assert log.getvalue() == ""
    assert (await found(await scope_of(store, log), PEARS)) == ([], MANY)
    lookup.close()
    indexer.close()


async def test_an_account_without_its_key_is_not_available(tmp_path, options, log):
    store = open_local(tmp_path, dataclasses.replace(options, keys=keyring(tmp_path, MASTERS)))
    await fill(store)
    await store.close()
    store = open_local(tmp_path, dataclasses.replace(options, keys=keyring(tmp_path)))
    scope = await scope_of(store, log)
    for key in (APPLES, s.Not(APPLES), s.HeaderHas(b"subject", "letter")):
        with pytest.raises(StoreError) as refused:
            await found(scope, key)
        assert refused.value.reason is Reason.UNAVAILABLE
    await store.close()
