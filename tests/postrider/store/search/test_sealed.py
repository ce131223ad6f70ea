"""Index files of accounts that have a key: readable with it alone, gone with it, and nobody else's business."""

import io
import os
import random
import stat
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest
from msgspec import structs
from stored import ALICE, BOB, INBOX, MASTERS, StillClock, append

from postrider.mailbox import query
from postrider.mailbox.candidates import Scope
from postrider.mailbox.view import View
from postrider.net.system import SystemRandom
from postrider.protocols.imap.search import BodyHas, Not
from postrider.store import transactions as t
from postrider.store.keyring import Keyring, Masters
from postrider.store.keys import DataKey
from postrider.store.open import Options, keyring, open_local
from postrider.store.ports import Store
from postrider.store.search import file, indexer, indexes, readers
from postrider.store.search.indexer import Indexer, Ports
from postrider.store.search.lookup import IndexLookup
from postrider.store.search.wanted import Has, Part
from postrider.store.values import Flag, account_of
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

#: No other text of these tests has any of its three letters in a row, nor its last one.
WORD = "xylophonist\u2021"


class Around:
    """A reader of which others say some things in another way."""

    def __init__(self, reader):
        self.reader = reader

    def __getattr__(self, name):
        return getattr(self.reader, name)


class Counting(Around):
    """Counts how many bodies it reads."""

    bodies = 0

    async def body(self, *asked):
        self.bodies += 1
        return await self.reader.body(*asked)


class Declaring(Around):
    """Says of accounts in the clear that they have a key, at the moment when a test wants it: nothing else happens."""

    def __init__(self, reader, declared):
        super().__init__(reader)
        self.declared = declared

    async def accounts(self, **asked):
        return [self.keyed(row) for row in await self.reader.accounts(**asked)]

    async def account(self, account):
        return self.keyed(await self.reader.account(account))

    def keyed(self, row):
        return structs.replace(row, key_id=self.declared.get(row.name, 0))


@dataclass
class Place:
    """A data directory with its store, what indexes it and what asks."""

    directory: Path
    store: Store
    ring: Keyring
    clock: StillClock
    metrics: Metrics
    log: io.StringIO
    indexer: Indexer
    lookup: IndexLookup

    async def write(self, account, *words, folder=INBOX):
        await self.store.writer.commit(append(folder, *(f"\r\n{word}\r\n".encode() for word in words), account=account))

    async def touch(self, account):
        """A change that needs no key."""
        await self.store.writer.commit(t.SetFlags(account, INBOX, (1,), t.FlagChange.ADD, Flag.SEEN, ()))

    async def work(self):
        while await self.indexer.look():
            pass

    async def found(self, word, account=ALICE):
        """UIDs of which the index says that they have the word; None where it does not know the folder."""
        mailbox = await self.store.reader.mailbox(account, INBOX)
        covered = await self.lookup.covered(account, mailbox.uidvalidity)
        if covered is None:
            return None
        page = await self.lookup.page(covered, Has((Part.BODY,), word), covered.uid, 10_000)
        assert all(sure for _, sure in page.found)
        return [uid for uid, _ in page.found]

    async def search(self, key):
        """What SEARCH says, and how many bodies were read for it."""
        mailbox = await self.store.reader.mailbox(ALICE, INBOX)
        view = View(mailbox, False, await self.store.reader.uids(ALICE, INBOX), mailbox.modseq)
        reader = Counting(self.store.reader)
        scope = Scope(reader, ALICE, view, self.lookup, self.clock.now(), Events(self.log))
        return [uid async for uid in query.newest(scope, key)], reader.bodies

    async def ranked(self, words, account=ALICE):
        found = await self.lookup.ranked(account, words, 10)
        return None if found is None else [one.uid for one in found]

    def own(self):
        return sorted((self.directory / "search").glob("????????.db"))

    def octets(self, *marks):
        """Which of these are in any file of the index."""
        files = [*self.directory.glob("search.db*"), *(self.directory / "search").glob("*")]
        return {mark for mark in marks for path in files if mark in path.read_bytes()}


@asynccontextmanager
async def opened(directory, declared=None):
    """An encrypted store; with `declared` one in the clear, of which an account is said to have the key by it."""
    clock, metrics, log = StillClock(), Metrics(), io.StringIO()
    ring = keyring(directory, MASTERS if declared is None else Masters())
    store = open_local(directory, Options(clock=StillClock(), allow_tmpfs=True, measure_sync=False, keys=ring))
    reader, keys = store.reader, ring.key
    if declared is not None:
        reader, keys = Declaring(reader, declared), lambda id_: DataKey.of(id_, bytes(32))
    ports = Ports(directory, reader, clock, SystemRandom(), Events(log), metrics, keys)
    place = Place(
        directory, store, ring, clock, metrics, log,
        Indexer(ports), IndexLookup(directory, Events(log), reader, keys),
    )  # fmt: skip
    try:
        yield place
    finally:
        place.lookup.close()
        place.indexer.close()
        await store.close()


@pytest.fixture
async def place(tmp_path):
    async with opened(tmp_path) as place:
        yield place


def parts(word):
    """What the trigram and the word tables would have of it."""
    return word.encode(), word[-1].encode(), word[:-1].encode(), word[1:5].encode()


def lines(place, event):
    return place.log.getvalue().count(event)


def open_files(place):
    """The names of what is open of the files of single accounts."""
    names = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    return [name for name in names if name.startswith(f"{place.directory}/search/")]


async def test_a_word_is_found_and_lies_nowhere(place):
    await place.write(ALICE, WORD, "pear", "pear " + WORD)
    await place.work()
    assert await place.found(WORD) == [3, 1]
    assert await place.found("no" + WORD) == []
    assert await place.ranked("pear " + WORD[:-1]) == [3]
    assert not place.octets(*parts(WORD), b"pear")
    assert b"SQLite" not in place.own()[0].read_bytes()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (place.directory / "search", *place.own())] == [0o700, 0o600]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (place.directory / "search").iterdir()} == {0o600}
    place.indexer.close()
    assert await place.found(WORD) == [3, 1]  # it lies in the log
    assert not place.octets(*parts(WORD), b"pear")
    assert place.metrics.registry.get_sample_value("postrider_search_waiting_messages") == 0
    assert lines(place, "search.rebuilt") == 1  # the shared one, not those of accounts


async def test_no_body_is_read_for_a_search(place):
    await place.write(ALICE, *["pear"] * 150, WORD, "plum")
    asked = BodyHas(WORD, header=True)
    found, bodies = await place.search(asked)
    assert found == [151]
    assert bodies >= 152
    await place.work()
    assert await place.search(asked) == ([151], 0)
    assert await place.search(Not(BodyHas("pear", header=False))) == ([152, 151], 0)


async def test_accounts_have_files_that_tell_each_other_nothing(place):
    await place.write(ALICE, "apple", "pear")
    await place.write(BOB, "pear")
    await place.work()
    assert (await place.found("pear"), await place.found("pear", BOB)) == ([2], [1])
    assert (await place.ranked("pear"), await place.ranked("apple", BOB)) == ([2], [])
    one, other = place.own()
    one.write_bytes(other.read_bytes())  # what one key encrypted is nothing under another
    for name in ("-wal", "-shm"):
        one.with_name(one.name + name).unlink(missing_ok=True)
    place.lookup.close()
    place.lookup = IndexLookup(place.directory, Events(place.log), place.store.reader, place.ring.key)
    answers = [await place.found("pear"), await place.found("pear", BOB)]
    assert None in answers
    assert len(place.own()) == 1
    await place.work()
    assert (await place.found("pear"), await place.found("pear", BOB)) == ([2], [1])


async def test_the_first_key_takes_an_account_out_of_the_shared_file(tmp_path):
    declared = {}
    async with opened(tmp_path, declared) as place:
        await place.write(ALICE, *["pear"] * 50, WORD)
        for _ in range(5):
            await place.write(BOB, *["pear"] * 50, "plumquagga")
        await place.work()
        assert await place.found(WORD) == [51]
        with apsw.Connection(str(tmp_path / "search.db")) as db:
            ((texts,),) = db.execute("SELECT texts FROM document WHERE id % 256 = 51 ORDER BY id LIMIT 1").fetchall()
        assert WORD in file.unpack_texts(texts)["body"]
        db.close()
        assert place.octets(*parts(WORD)) == {*parts(WORD)[1:]}
        assert place.octets(texts)
        declared[ALICE] = 7
        await place.write(ALICE, "apple")
        await place.work()
        # What came before is there too.
        assert (await place.found(WORD), await place.found("apple")) == ([51], [52])
        assert await place.found("plumquagga", BOB) == [51, 102, 153, 204, 255][::-1]
        assert place.own() == [tmp_path / "search" / "00000007.db"]
        place.clock.seconds += indexer.GONE_SECONDS
        await place.work()
        assert not place.octets(*parts(WORD), texts, b"apple")
        assert place.octets(b"uagga")
        assert await place.found("plumquagga", BOB) == [51, 102, 153, 204, 255][::-1]
        assert await place.ranked("plumquagga", BOB) == [255, 204, 153, 102, 51]
        before = (tmp_path / "search.db").stat().st_ino
        with (tmp_path / "search.db").open("rb") as old:
            declared[BOB] = 8  # no change comes with it
            await place.work()
            assert b"uagga" not in old.read()
        # Nobody is left in it.
        assert (tmp_path / "search.db").stat().st_ino != before
        assert not place.octets(b"uagga")
        assert lines(place, "search.unusable") == 0
        assert await place.found("plumquagga", BOB) == [255, 204, 153, 102, 51]


async def test_what_left_is_still_wiped_out_after_a_restart(tmp_path):
    async with opened(tmp_path, {}) as place:
        await place.write(ALICE, *["pear"] * 50, WORD)
        for _ in range(5):
            await place.write(BOB, *["pear"] * 50)
        await place.work()
    async with opened(tmp_path, {ALICE: 7}) as place:
        await place.work()
    async with opened(tmp_path, {ALICE: 7}) as place:
        place.clock.seconds += indexer.GONE_SECONDS
        await place.work()
        assert not place.octets(*parts(WORD))
        assert place.octets(b"ear")


async def test_without_its_key_an_account_is_left_alone(place):
    await place.write(ALICE, "apple")
    await place.write(BOB, "apple")
    await place.work()
    place.ring.load(Masters())
    await place.touch(ALICE)
    await place.work()
    assert await place.found("apple") is None
    assert await place.ranked("apple") is None
    place.ring.load(MASTERS)
    assert await place.found("apple") == [1]
    assert place.log.getvalue().count("\n") == 1
    assert place.metrics.registry.get_sample_value("postrider_search_waiting_messages") == 0


async def test_mail_that_could_not_be_read_for_want_of_the_key_is_indexed_when_it_is_there(tmp_path):
    async with opened(tmp_path) as place:
        await place.write(ALICE, "apple")
        place.ring.load(Masters())
        await place.work()
        assert not place.own()
        place.ring.load(MASTERS)
        await place.work()
        assert await place.found("apple") is None
        place.clock.seconds += indexer.PUT_OFF_SECONDS + 1
        await place.work()
        assert await place.found("apple") == [1]


async def test_a_file_that_cannot_be_used_keeps_nobody_else_waiting(place):
    await place.write(ALICE, "apple")
    key_id = (await place.store.reader.account(ALICE)).key_id
    in_the_way = file.index_path(place.directory, key_id)
    in_the_way.mkdir(parents=True)
    await place.write(BOB, "apple")
    await place.work()
    assert (await place.found("apple"), await place.found("apple", BOB)) == (None, [1])
    assert lines(place, "search.unusable")
    in_the_way.rmdir()
    place.clock.seconds += indexer.PUT_OFF_SECONDS + 1
    await place.work()
    assert await place.found("apple") == [1]


async def test_who_is_shredded_has_no_file(place):
    await place.write(ALICE, "apple")
    await place.write(BOB, "apple")
    await place.work()
    assert len(place.own()) == 2
    assert await place.found("apple") == await place.found("apple", BOB) == [1]
    await place.store.writer.commit(t.Release(ALICE))
    await place.work()
    assert len(place.own()) == 1
    assert not list((place.directory / "search").glob(f"[!{place.own()[0].stem[0]}]*"))
    assert await place.found("apple", BOB) == [1]
    assert not [name for name in open_files(place) if name.endswith("(deleted)")]
    await place.write(ALICE, "pear")  # the next one of the name
    await place.work()
    assert (await place.found("apple"), await place.found("pear")) == ([], [1])


async def test_who_gets_another_name_keeps_the_file(place):
    await place.write(ALICE, "apple")
    await place.work()
    (own,) = place.own()
    before = own.stat().st_ino
    await place.store.writer.commit(t.Release(ALICE, keep=True))
    (kept,) = [row.name for row in await place.store.reader.accounts()]
    await place.store.writer.commit(t.Reinstate(kept, BOB))
    await place.work()
    assert [path.stat().st_ino for path in place.own()] == [before]
    assert await place.found("apple", BOB) == [1]
    assert place.metrics.registry.get_sample_value("postrider_search_indexed_total") == 1


async def test_files_of_nobody_go(place):
    await place.write(ALICE, "apple")
    await place.work()
    for name in ("0badc0de.db", "0badc0de.db-wal", "0badc0df.db-shm"):
        (place.directory / "search" / name).write_bytes(b"left")
    (place.directory / "search" / "note").write_bytes(b"somebody else's")
    await place.work()
    names = {path.name for path in (place.directory / "search").iterdir()}
    assert {name.partition(".")[0] for name in names} == {place.own()[0].stem, "note"}


@pytest.fixture
def no_log(monkeypatch):
    """All that was written is in the file itself when it is closed."""
    monkeypatch.setattr(file, "_LOG_LEFT", 0)


@pytest.mark.usefixtures("no_log")
async def test_a_changed_page_is_found_out_and_the_file_made_anew(place):
    await place.write(ALICE, *(f"word{number}" for number in range(200)))
    await place.work()
    place.indexer.close()
    (own,) = place.own()
    data = bytearray(own.read_bytes())
    for at in range(1500, len(data), 1024):
        data[at] ^= 1
    own.write_bytes(data)
    assert await place.found("word7") is None
    assert not own.exists()
    assert lines(place, "search.unusable") == 1
    await place.work()  # nothing came, and yet it is missed
    assert await place.found("word7") == [*range(80, 70, -1), 8]


@pytest.mark.usefixtures("no_log")
async def test_damage_that_the_indexer_meets_is_nobody_elses(place):
    await place.write(ALICE, *(f"word{number}" for number in range(200)))
    await place.write(BOB, "apple")
    await place.work()
    place.indexer.close()
    bobs = (await place.store.reader.account(BOB)).key_id
    alices = file.index_path(place.directory, (await place.store.reader.account(ALICE)).key_id)
    data = bytearray(alices.read_bytes())
    data[2048:] = os.urandom(len(data) - 2048)
    alices.write_bytes(data)
    before = file.index_path(place.directory, bobs).stat().st_ino
    await place.write(ALICE, "plum")
    await place.work()
    assert await place.found("plum") == [201]
    assert await place.found("word7") == [*range(80, 70, -1), 8]
    assert file.index_path(place.directory, bobs).stat().st_ino == before


async def test_few_files_are_open_at_once(place, monkeypatch):
    monkeypatch.setattr(indexes, "MOST", 2)
    monkeypatch.setattr(readers, "MOST", 2)
    accounts = [account_of("mail", f"user{number}@a.test") for number in range(6)]
    chance = random.Random(7)
    for account in accounts:
        await place.write(account, f"apple {account[5:10]}")
    for _ in range(3):
        chance.shuffle(accounts)
        await place.work()
        for account in accounts:
            assert await place.found(account[5:10], account)
            assert not await place.found("pear", account)
            await place.write(account, f"again {account[5:10]}")
    assert 2 <= len([name for name in open_files(place) if name.endswith(".db")]) <= 4


async def test_a_copy_of_the_moment_is_whole(place, tmp_path):
    """What a power failure leaves may lack the last transactions, and nothing more."""
    await place.write(ALICE, *["apple"] * 60)
    await place.work()
    (own,) = place.own()
    copy = tmp_path / "copy.db"
    for name in ("", "-wal"):
        copy.with_name(copy.name + name).write_bytes(own.with_name(own.name + name).read_bytes())
    (key_id,) = [row.key_id for row in await place.store.reader.accounts() if row.name == ALICE]
    db, reason = file.open_writer(copy, indexer.present_marks(), 1, place.ring.key(key_id))
    assert not reason
    assert db.execute("SELECT count(*) FROM document").fetchall() == [(60,)]
    assert db.pragma("integrity_check") == "ok"
    assert db.pragma("temp_store") == 2
    assert db.pragma("synchronous") == 1
    db.close()
    with pytest.raises(apsw.NotADBError):
        apsw.Connection(str(copy)).pragma("user_version")
