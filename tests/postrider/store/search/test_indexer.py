"""The indexer follows the store: what comes goes in, what is gone goes out, what it cannot trust it makes anew."""

import io

import pytest
from stored import ALICE, BOB, INBOX, StillClock, append

from postrider.net.system import SystemRandom
from postrider.store import transactions as t
from postrider.store.open import Options, memory, open_local
from postrider.store.search import file, indexer
from postrider.store.search.index import Index
from postrider.store.search.indexer import Indexer, Ports
from postrider.store.search.lookup import IndexLookup
from postrider.store.search.wanted import Has, Part
from postrider.store.values import Flag
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics


@pytest.fixture
def log():
    return io.StringIO()


@pytest.fixture
def clock():
    return StillClock()


@pytest.fixture(params=["sqlite", "memory"])
async def store(request, tmp_path, clock):
    options = Options(clock=clock, allow_tmpfs=True, measure_sync=False)
    store = open_local(tmp_path, options) if request.param == "sqlite" else memory(options)
    yield store
    await store.close()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def make(store, tmp_path, log, clock, metrics):
    """Indexers of one data directory, one after the other."""
    made = []

    def make():
        made.append(Indexer(Ports(tmp_path, store.reader, clock, SystemRandom(), Events(log), metrics)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def lookup(tmp_path):
    lookup = IndexLookup(tmp_path, Events(io.StringIO()))
    yield lookup
    lookup.close()


def letters(*words):
    return [f"Subject: letter\r\n\r\n{word}\r\n".encode() for word in words]


async def work(one):
    """Until nothing is left; how many turns it took."""
    turns = 0
    while await one.look():
        turns += 1
    return turns


async def found(store, lookup, word, account=ALICE, name="INBOX"):
    """UIDs in the index, None where the folder is not in it."""
    (mailbox,) = [each for each in await store.reader.mailboxes(account) if each.name == name]
    covered = await lookup.covered(account, mailbox.uidvalidity)
    if covered is None:
        return None
    return [uid for uid, _ in (await lookup.page(covered, Has((Part.BODY,), word), covered.uid, 10_000)).found]


async def expunge(store, *uids):
    await store.writer.commit(t.SetFlags(ALICE, INBOX, uids, t.FlagChange.ADD, Flag.DELETED, ()))
    await store.writer.commit(t.Expunge(ALICE, INBOX, uids))


async def test_each_account_and_folder_is_followed(store, make, lookup, metrics):
    one = make()
    await store.writer.commit(append(INBOX, *letters("apple", "pear", "apple")))
    await store.writer.commit(append(INBOX, *letters("apple"), account=BOB))
    await work(one)
    assert await found(store, lookup, "apple") == [3, 1]
    assert await found(store, lookup, "apple", BOB) == [1]
    made = await store.writer.commit(t.CreateMailbox(ALICE, "Fruit"))
    await store.writer.commit(t.Copy(ALICE, INBOX, (2, 3), made.id))
    await store.writer.commit(append(INBOX, *letters("apple")))
    assert await found(store, lookup, "apple") == [3, 1]
    await work(one)
    assert await found(store, lookup, "apple") == [4, 3, 1]
    assert await found(store, lookup, "pear", name="Fruit") == [1]
    assert metrics.registry.get_sample_value("postrider_search_indexed_total") == 7
    assert metrics.registry.get_sample_value("postrider_search_waiting_messages") == 0


async def test_nobody_waits_for_anothers_many(store, make, lookup, metrics, monkeypatch):
    monkeypatch.setattr(indexer, "TURN", 4)
    monkeypatch.setattr(indexer, "ROWS", 2)
    one = make()
    await store.writer.commit(append(INBOX, *letters(*["apple"] * 11)))
    await store.writer.commit(append(INBOX, *letters("pear"), account=BOB))
    assert await one.look()
    assert await found(store, lookup, "apple") == [4, 3, 2, 1]
    assert await found(store, lookup, "pear", BOB) == [1]
    assert metrics.registry.get_sample_value("postrider_search_waiting_messages") == 7
    await work(one)
    assert len(await found(store, lookup, "apple")) == 11


async def test_what_is_expunged_leaves_the_index(store, make, lookup):
    one = make()
    await store.writer.commit(append(INBOX, *letters("apple", "apple", "apple")))
    await work(one)
    await expunge(store, 1, 3)
    await work(one)
    assert await found(store, lookup, "apple") == [2]


async def test_in_a_large_folder_that_waits_until_it_is_worth_it(store, make, lookup, clock, monkeypatch):
    monkeypatch.setattr(indexer, "SMALL", 10)
    one = make()
    await store.writer.commit(append(INBOX, *letters(*["apple"] * 60)))
    await work(one)
    await expunge(store, 5)
    await work(one)
    assert len(await found(store, lookup, "apple")) == 60
    clock.seconds += indexer.GONE_SECONDS + 1
    await work(one)
    assert len(await found(store, lookup, "apple")) == 59
    await expunge(store, *range(20, 30))
    await work(one)
    assert len(await found(store, lookup, "apple")) == 49


async def test_a_folder_that_is_gone_or_made_again_is_not_mixed_up(store, make, lookup):
    one = make()
    made = await store.writer.commit(t.CreateMailbox(ALICE, "Fruit"))
    await store.writer.commit(append(made.id, *letters("apple")))
    await work(one)
    before = await store.reader.mailbox(ALICE, made.id)
    await store.writer.commit(t.DeleteMailbox(ALICE, made.id))
    again = await store.writer.commit(t.CreateMailbox(ALICE, "Fruit"))
    await store.writer.commit(append(again.id, *letters("pear")))
    assert await found(store, lookup, "apple", name="Fruit") is None
    await work(one)
    assert await lookup.covered(ALICE, before.uidvalidity) is None
    assert await found(store, lookup, "apple", name="Fruit") == []
    assert await found(store, lookup, "pear", name="Fruit") == [1]


async def test_it_goes_on_where_it_was(store, make, lookup, log, tmp_path):
    first = make()
    await store.writer.commit(append(INBOX, *letters("apple")))
    await work(first)
    first.close()
    await store.writer.commit(append(INBOX, *letters("apple")))
    await work(make())
    assert await found(store, lookup, "apple") == [2, 1]
    assert log.getvalue().count("search.rebuilt") == 1


@pytest.mark.parametrize("away", ["removed", "overwritten"])
async def test_an_index_that_was_taken_away_or_damaged_is_made_anew(store, make, lookup, log, tmp_path, away):
    one = make()
    await store.writer.commit(append(INBOX, *letters("apple")))
    await work(one)
    path = file.index_path(tmp_path)
    if away == "removed":
        file.remove(path)
    else:
        one.close()
        data = bytearray(path.read_bytes())
        data[4096:] = b"\xff" * (len(data) - 4096)
        path.write_bytes(data)
        one = make()
    await store.writer.commit(append(INBOX, *letters("apple")))
    await work(one)
    assert await found(store, lookup, "apple") == [2, 1]
    assert log.getvalue().count("search.rebuilt") == 2


async def test_a_database_older_than_the_index_is_indexed_anew(store, make, lookup, tmp_path):
    one = make()
    await store.writer.commit(append(INBOX, *letters("apple")))
    await work(one)
    one.close()
    ahead = Index(file.index_path(tmp_path), indexer.present_marks(), 1)
    (folder,) = [each for each in ahead.folders(ALICE).values() if each.mailbox == INBOX]
    ahead.put(folder, [], 500)
    ahead.close()
    await store.writer.commit(append(INBOX, *letters("pear")))
    await work(make())
    assert await found(store, lookup, "pear") == [2]
    assert (await lookup.covered(ALICE, folder.uidvalidity)).uid == 2
