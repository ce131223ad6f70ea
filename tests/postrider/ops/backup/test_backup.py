"""Backups: consistent, incremental, verified, and restored so that nothing lost is ever mistaken for what is there."""

import asyncio
import dataclasses
import json
import os
import random

import apsw
import pytest
from rows_of import again, dump, lose
from stored import ALICE, BOB, EVERY_LANE, INBOX, NOON, StillClock, append, balanced, enqueue, intake

from postrider.model.runs import counted
from postrider.ops.backup.bucket import Bucket
from postrider.ops.backup.folder import Folder
from postrider.ops.backup.place import BackupError
from postrider.ops.backup.restore import Restore
from postrider.ops.backup.shelf import Shelf
from postrider.ops.backup.take import Backup
from postrider.ops.backup.verify import Verify
from postrider.store import directory
from postrider.store import transactions as t
from postrider.store.directory import CannotOpen
from postrider.store.open import Options, database_file, open_local
from postrider.store.pack_files import pack_path


def silent(*_):
    """Nobody asks how far it is."""


@pytest.fixture
def clock():
    return StillClock()


@pytest.fixture
def options(clock):
    return Options(clock=clock, allow_tmpfs=True, measure_sync=False, wait=0, pack_size=128 * 1024)


@pytest.fixture
def place(request, tmp_path):
    """A directory, or in tests of both a bucket."""
    if getattr(request, "param", "directory") == "bucket":
        return Bucket(request.getfixturevalue("bucket"))
    return Folder(tmp_path / "shelf")


#: What a backup promises does not depend on where it lies.
everywhere = pytest.mark.parametrize("place", ["directory", "bucket"], indirect=True)


@pytest.fixture
def take(place, clock):
    """Takes a backup, a minute after the last one."""

    def take(data, **fields):
        clock.seconds += 60
        return Backup(data, place, database_file(), clock, silent).take(**fields)

    return take


@pytest.fixture
def restore(place, clock):
    def restore(target, name="", **fields):
        return Restore(place, target, database_file(), clock, silent).restore(name, **fields)

    return restore


@pytest.fixture
async def data(tmp_path, options):
    """A data directory with some packs of mail."""
    store = open_local(tmp_path / "data", options)
    letters = (intake(ALICE, data=letter(number), enqueue=(enqueue(),) * (number % 4 == 0)) for number in range(40))
    await asyncio.gather(*map(store.writer.commit, letters))
    await store.writer.commit(t.SetFlags(ALICE, INBOX, (3, 4), t.FlagChange.ADD, 8 | 1, ("kw",)))
    await store.writer.commit(t.Expunge(ALICE, INBOX, (4,)))
    await store.writer.commit(t.Claim(EVERY_LANE, NOON, 3600, 3))
    await store.close()
    return tmp_path / "data"


def letter(number):
    """Mail that no codec makes small, so that packs fill up."""
    return b"Subject: %d\r\n\r\n" % number + random.Random(number).randbytes(12_000)


async def mail(store, account=ALICE, folder=INBOX):
    uids = await store.reader.uids(account, folder)
    rows = await store.reader.messages(account, folder, uids)
    return {row.uid: await store.reader.body(account, row.blob) for row in rows}


@pytest.fixture
def problems(place):
    return lambda: [found.text for found in Verify(place, database_file(), silent).verify()]


@everywhere
async def test_what_was_there_is_there_again(tmp_path, data, options, take, restore, problems):
    taken = take(data)
    assert problems() == []
    assert taken.copied <= taken.size
    assert taken.copied == taken.size or taken.manifest.blocks
    restore(tmp_path / "new")
    store, again = open_local(data, options), open_local(tmp_path / "new", options)
    assert await mail(again) == await mail(store)
    assert len(await mail(again)) == 39
    for name in ("uids", "flags"):
        before, after = [await getattr(one.reader, name)(ALICE, INBOX) for one in (store, again)]
        assert [getattr(row, "uid", row) for row in after] == [getattr(row, "uid", row) for row in before]
    assert [(row.flags, row.keywords) for row in after] == [(row.flags, row.keywords) for row in before]
    assert await again.reader.counters() == await store.reader.counters()
    for one in (store, again):
        await one.close()
    assert not any(path.stat().st_mode & 0o077 for path in (tmp_path / "new").rglob("*"))
    assert not any(path.stat().st_mode & 0o077 for path in tmp_path.glob("shelf/**/*"))


async def test_nothing_lost_is_mistaken_for_what_comes_after(tmp_path, data, options, take, restore):
    """After the backup there were more mail, other flags, folders and accounts; none of their numbers comes again."""
    take(data)
    store = open_local(data, options)
    known = await store.reader.mailbox(ALICE, INBOX)
    for number in range(5):
        await store.writer.commit(intake(ALICE, data=b"lost %d" % number))
    await store.writer.commit(t.SetFlags(ALICE, INBOX, (1,), t.FlagChange.ADD, 4))
    await store.writer.commit(t.SetFlags(ALICE, INBOX, (2,), t.FlagChange.ADD, 8))
    await store.writer.commit(t.Expunge(ALICE, INBOX, (2,)))
    made = await store.writer.commit(t.CreateMailbox(ALICE, "Lost"))
    await store.writer.commit(intake(BOB))
    lost = {row.name: row for row in await store.reader.mailboxes(ALICE)}
    lost_mail = await store.reader.messages(ALICE, INBOX, await store.reader.uids(ALICE, INBOX))
    bobs = await store.reader.mailboxes(BOB)
    await store.close()
    restore(tmp_path / "new")
    again = open_local(tmp_path / "new", options)
    inbox = await again.reader.mailbox(ALICE, INBOX)
    assert inbox.uidvalidity == known.uidvalidity
    assert inbox.modseq > lost["INBOX"].modseq
    changes = await again.reader.changes(ALICE, INBOX, lost["INBOX"].modseq)
    assert {row.uid for row in changes.changed} == set(await again.reader.uids(ALICE, INBOX))
    gone = {uid for one in changes.vanished for uid in counted(one.runs) if uid < lost["INBOX"].uidnext}
    assert gone >= set(range(known.uidnext, lost["INBOX"].uidnext))
    assert 2 not in gone  # it is back, and told so
    (stored,) = (await again.writer.commit(intake(ALICE, data=b"after"))).stored
    assert stored.uid > lost["INBOX"].uidnext
    assert stored.modseq > changes.modseq
    (after,) = await again.reader.messages(ALICE, INBOX, [stored.uid])
    assert after.email_id not in {row.email_id for row in lost_mail}
    new = await again.writer.commit(t.CreateMailbox(ALICE, "Lost"))
    assert new.object_id != made.object_id
    new = await again.reader.mailbox(ALICE, new.id)
    assert new.uidvalidity > lost["Lost"].uidvalidity
    await again.writer.commit(intake(BOB))
    assert min(row.uidvalidity for row in await again.reader.mailboxes(BOB)) > max(row.uidvalidity for row in bobs)
    await again.close()


@pytest.mark.parametrize("late", [3600, 3 * 86_400], ids=["an hour", "three days"])
async def test_nothing_of_a_first_restore_is_mistaken_for_what_comes_after_a_second(
    tmp_path, data, options, clock, take, restore, late
):
    """What a restored directory gave out until it was lost too does not come again, of whichever backup it is made."""
    older = take(data).name
    take(data)
    known = 0, 0, set()
    for turn, backup in enumerate((older, older, "", older)):
        clock.seconds += late
        restore(tmp_path / f"{turn}", backup)
        store = open_local(tmp_path / f"{turn}", options)
        uidnext, modseq, emails = known
        folder = await store.reader.mailbox(ALICE, INBOX)
        made = await store.writer.commit(t.CreateMailbox(ALICE, "New"))
        changes = await store.reader.changes(ALICE, INBOX, modseq)
        assert {row.uid for row in changes.changed} == set(await store.reader.uids(ALICE, INBOX))
        assert folder.modseq > modseq
        assert folder.uidnext >= uidnext
        stored = [(await store.writer.commit(intake(ALICE, data=b"%d" % number))).stored[0] for number in range(50)]
        rows = await store.reader.messages(ALICE, INBOX, [one.uid for one in stored])
        new = {row.email_id for row in rows} | {made.object_id}
        assert not new & emails
        known = stored[-1].uid + 1, stored[-1].modseq, emails | new
        await store.close()


async def test_the_queue_is_kept_but_not_claimed(tmp_path, data, options, take, restore):
    take(data)
    restore(tmp_path / "new")
    restore(tmp_path / "held", hold_queue=True)
    store, again, held = [open_local(path, options) for path in (data, tmp_path / "new", tmp_path / "held")]
    before = await store.reader.queue()
    after = await again.reader.queue()
    assert [row.id for row in after] == [row.id for row in before]
    assert {row.state for row in after} == {"ready"}
    assert {row.state for row in await held.reader.queue()} == {"held"}
    (row,) = await again.writer.commit(t.Claim(EVERY_LANE, NOON, 60, 1))
    assert row.epoch > max(row.epoch for row in before)
    done = await again.writer.commit(intake(enqueue=(enqueue(),)))
    assert done.queued[0] > max(row.id for row in before) + 1_000_000
    assert balanced(await again.reader.counters())
    for one in (store, again, held):
        await one.close()


async def test_a_restored_directory_can_be_rebuilt_from_its_packs(tmp_path, data, options, take, restore):
    """The new epoch is in the journal too."""
    take(data)
    restore(tmp_path / "new")
    store = open_local(tmp_path / "new", options)
    (stored,) = (await store.writer.commit(intake(ALICE, data=b"after"))).stored
    await store.close()
    rows = dump(tmp_path / "new")
    lose(tmp_path / "new")
    assert again(tmp_path / "new").damage == []
    assert dump(tmp_path / "new") == rows
    store = open_local(tmp_path / "new", options)
    assert (await mail(store))[stored.uid] == b"after"
    await store.close()


@everywhere
async def test_only_what_is_new_is_copied(data, options, place, take, problems):
    first = take(data)
    second = take(data)
    assert second.copied == (0 if second.manifest.blocks else second.manifest.database_length)
    store = open_local(data, options)
    await asyncio.gather(*(store.writer.commit(intake(ALICE, data=letter(number))) for number in range(100, 120)))
    third = take(data)  # while it is open
    await store.close()
    before, after = [{pack.id: pack for pack in one.manifest.packs} for one in (first, third)]
    whole = max(before)
    assert [after[pack] for pack in before if pack != whole] == [before[pack] for pack in before if pack != whole]
    new = sum(pack.length for pack in after.values() if pack not in before.values())
    database = third.copied - new
    assert 0 < database <= third.manifest.database_length
    assert third.manifest.blocks or database == third.manifest.database_length
    assert problems() == []
    assert len(Shelf(place).names()) == 3


@everywhere
async def test_old_backups_go_and_the_packs_that_nobody_needs(tmp_path, data, options, place, take, restore, problems):
    names = []
    for number in range(4):
        store = open_local(data, options)
        await store.writer.commit(intake(ALICE, data=letter(200 + number)))
        await store.close()
        names.append(take(data, keep=2).name)
    shelf = Shelf(place)
    assert shelf.names() == names[2:]
    needed = {held.file for name in names[2:] for held in shelf.manifest(name).packs}
    assert {name for name, _ in shelf.place.lengths("packs")} == needed | {"packs/index.jsonl"}
    assert problems() == []
    restore(tmp_path / "new", names[2])
    store = open_local(tmp_path / "new", options)
    assert len(await mail(store)) == 39 + 3
    await store.close()
    with pytest.raises(BackupError, match=f"no backup {names[0]} .*{names[2]}, {names[3]}"):
        restore(tmp_path / "other", names[0])


async def test_it_is_one_moment_while_others_write(tmp_path, options, place, take, restore, problems):
    store = open_local(tmp_path / "data", options)
    acknowledged, done = [], asyncio.Event()

    async def deliver(session):
        number = 0
        while not done.is_set():
            body = b"%d %d\r\n" % (session, number) + random.Random(number).randbytes(5000)
            stored = (await store.writer.commit(intake(ALICE, BOB, data=body))).stored
            acknowledged.append((stored[0].uid, stored[1].uid, body))
            number += 1

    sessions = [asyncio.create_task(deliver(n)) for n in range(4)]
    before = []
    for _ in range(3):
        enough = len(acknowledged) + 10
        while len(acknowledged) < enough:
            await asyncio.sleep(0.01)
        before.append(len(acknowledged))
        await asyncio.to_thread(take, tmp_path / "data")
    done.set()
    await asyncio.gather(*sessions)
    await store.close()
    assert problems() == []
    for at, name in enumerate(Shelf(place).names()):
        restore(tmp_path / name, name)
        again = open_local(tmp_path / name, options)
        alices, bobs = await mail(again), await mail(again, BOB)
        assert len(alices) == len(bobs) >= before[at] > 0
        for alice, bob, body in acknowledged[: before[at]]:
            assert alices[alice] == bobs[bob] == body
        assert balanced(await again.reader.counters())
        await again.close()


@everywhere
async def test_an_interrupted_backup_goes_on_with_its_packs(data, clock, place, take, problems):
    class Cut(Exception):
        """The power went."""

    def until_half(what, done, total):
        if what == "packs" and done > total * 0.7:
            raise Cut

    shelf = Shelf(place)
    with pytest.raises(Cut):
        Backup(data, shelf.place, database_file(), clock, until_half).take()
    assert shelf.names() == []
    taken = take(data)
    assert taken.copied - taken.manifest.database_length < (taken.size - taken.manifest.database_length) * 0.7
    assert problems() == []
    assert set(place.folders()) - {"packs", "blocks"} == {taken.name}


@everywhere
async def test_damage_is_found(tmp_path, data, place, take, restore, problems):
    taken = take(data)
    pack = taken.manifest.packs[1].file
    content = place.read(pack)
    place.write(pack, content[:-100] + b"x" + content[-99:])
    (found,) = problems()
    assert found == f"{place.title}/{pack} is damaged: its hash is not the manifest's"
    with pytest.raises(BackupError, match="damaged"):
        restore(tmp_path / "new")
    with pytest.raises(CannotOpen, match="restore again"):
        open_local(tmp_path / "new")
    place.write(pack, content[:-100])
    (found,) = problems()
    assert found == f"{place.title}/{pack} has fewer than its {len(content)} octets"
    place.remove([pack])
    (found,) = problems()
    assert found == f"{place.title}/{pack} cannot be read: No such file or directory"
    with pytest.raises(BackupError, match="cannot be read"):
        restore(tmp_path / "new")
    place.write(pack, content)
    restore(tmp_path / "new")  # what was left of the attempt is cleared away
    database = next(
        name for folder in (taken.name, "blocks") for name, _ in place.lengths(folder) if ".json" not in name
    )
    content = place.read(database)
    place.write(database, content[:5000] + b"damage" + content[5006:])
    (found,) = problems()
    assert f"{database} is damaged" in found
    with pytest.raises(BackupError, match="is damaged"):
        restore(tmp_path / "other")
    place.remove([database])
    (found,) = problems()
    assert f"{database} cannot be read" in found


@everywhere
async def test_what_was_damaged_and_removed_is_copied_again(data, place, take, problems):
    taken = take(data)
    pack = taken.manifest.packs[0].file
    place.remove([pack])
    assert len(problems()) == 1
    assert take(data).manifest.packs == taken.manifest.packs
    assert problems() == []


@everywhere
async def test_wrapped_keys_are_in_it(tmp_path, data, place, take, restore, problems):
    (data / "keys").mkdir()
    (data / "keys/0000000a").write_bytes(b"wrapped")
    taken = take(data)
    assert problems() == []
    restore(tmp_path / "new")
    assert (tmp_path / "new/keys/0000000a").read_bytes() == b"wrapped"
    assert (tmp_path / "new/keys/0000000a").stat().st_mode & 0o077 == 0
    place.write(f"{taken.name}/keys/0000000a", b"changed")
    (found,) = problems()
    assert found == f"{place.title}/{taken.name}/keys/0000000a is damaged: its hash is not the manifest's"
    with pytest.raises(BackupError, match="0000000a is damaged"):
        restore(tmp_path / "other")


async def test_a_body_that_is_not_where_the_database_says_is_found(data, take, problems):
    db = apsw.Connection(str(data / "mail.db"))
    db.execute("UPDATE blob SET start = start + 8 WHERE id = 3")
    db.execute("UPDATE blob SET start = (SELECT start FROM blob WHERE id = 6), pack = 1 WHERE id = 5")
    db.execute("UPDATE blob SET pack = 77 WHERE id = 7")
    db.close()
    take(data)
    found = problems()
    assert len(found) == 3
    assert all(any(text in one for one in found) for text in ("no record", "another body", "pack 77 is missing"))


async def test_a_damaged_data_directory_is_backed_up_as_far_as_it_goes(
    tmp_path, data, take, restore, options, problems
):
    pack_path(data / "packs", 2).unlink()
    taken = take(data)
    assert taken.manifest.damaged == (2,)
    assert any("pack 2 was damaged" in found for found in problems())
    restore(tmp_path / "new")
    store = open_local(tmp_path / "new", options)
    (row,) = await store.reader.messages(ALICE, INBOX, [1])
    assert await store.reader.body(ALICE, row.blob) == letter(0)
    await store.close()


async def test_backups_of_earlier_releases_stay(tmp_path, data, take, restore, problems):
    """Their manifests know of no blocks and have no hash; what they did not finish lies below names with a dot."""
    old = take(data)
    manifest = tmp_path / "shelf" / old.name / "manifest.json"
    fields = json.loads(manifest.read_text())
    del fields["blocks"], fields["sha256"]
    manifest.write_text(json.dumps(fields, indent=2))
    unfinished = tmp_path / "shelf/.20260101T000000Z/mail.db", tmp_path / "shelf/packs/.00000003"
    unfinished[0].parent.mkdir()
    for path in unfinished:
        path.touch()
    take(data)
    assert not any(path.exists() for path in unfinished)
    assert problems() == []
    assert restore(tmp_path / "new", old.name) == (old.name, old.manifest)


@everywhere
async def test_a_manifest_that_was_changed_says_nothing_and_the_others_are_looked_at(
    tmp_path, data, place, take, restore, problems
):
    first, second = take(data), take(data)
    manifest = f"{first.name}/manifest.json"
    content = place.read(manifest)
    for changed in (
        content.replace(b'"taken": "2027', b'"taken": "2037'),
        content.replace(b"a256", b"b256"),
        b"{}",
        b"",
    ):
        assert changed != content
        place.write(manifest, changed)
        (found,) = problems()
        assert found.startswith(f"{place.title}/{manifest} is damaged: ")
        with pytest.raises(BackupError, match="is damaged"):
            restore(tmp_path / "new", first.name)
    place.remove([second.manifest.packs[0].file])
    assert len(problems()) == 2


@everywhere
async def test_what_was_taken_last_is_the_newest_whatever_the_clock_says(data, clock, place, take):
    clock.seconds += 86_400
    names = [take(data).name]
    for _ in range(11):
        clock.seconds -= 3600
        names.append(take(data).name)
    assert Shelf(place).names() == names
    kept = take(data, keep=2)
    assert Shelf(place).names() == [names[-1], kept.name]


async def test_one_restores_into_a_directory_at_a_time(tmp_path, data, place, clock, take, restore, options):
    take(data)
    tried = []

    def look(*_):
        if not tried:
            with pytest.raises(BackupError, match="is being restored") as refused:
                restore(tmp_path / "new")
            tried.append(refused)

    Restore(place, tmp_path / "new", database_file(), clock, look).restore()
    assert tried
    store = open_local(tmp_path / "new", options)
    assert len(await mail(store)) == 39
    await store.close()


async def test_restore_refuses_what_is_not_empty(tmp_path, data, take, restore):
    take(data)
    with pytest.raises(BackupError, match=r"not empty.*mail\.db"):
        restore(data)
    (tmp_path / "volume" / "lost+found").mkdir(parents=True)
    restore(tmp_path / "volume")


async def test_nothing_is_rebuilt_where_a_restore_has_not_come_to_its_end(tmp_path, data, place, clock, take, restore):
    take(data)

    def killed(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Restore(place, tmp_path / "new", database_file(), clock, killed).restore()
    with pytest.raises(CannotOpen, match="run restore again"):
        again(tmp_path / "new")
    restore(tmp_path / "new")
    assert again(tmp_path / "new").put_aside


async def test_one_command_at_a_time(tmp_path, data, place, take):
    take(data)
    shelf = Shelf(place)
    with shelf.place.alone(), pytest.raises(BackupError, match="another command"):
        take(data)
    with pytest.raises(BackupError, match="inside of"):
        Backup(data, Folder(data / "shelf"), database_file(), StillClock(), silent).take()
    with pytest.raises(BackupError, match="not a data directory"):
        take(tmp_path)
    assert json.loads(shelf.place.read(f"{shelf.latest()}/manifest.json"))["format"] == 1


class MaildirSite:
    """A data directory whose bodies are files."""

    def __init__(self, path, options):
        self.path, self.options = path, dataclasses.replace(options, blobs="maildir")

    async def commit(self, *txns):
        store = open_local(self.path, self.options)
        for txn in txns:
            await store.writer.commit(txn)
        await store.close()

    async def bodies(self, path):
        store = open_local(path, self.options)
        rows = await store.reader.messages(ALICE, INBOX, await store.reader.uids(ALICE, INBOX))
        found = [await store.reader.body(ALICE, row.blob) for row in rows]
        await store.close()
        return found

    def files(self, where):
        return sorted(path.name for path in where.glob("**/bodies/*") if path.is_file())


@everywhere
async def test_bodies_in_files_are_copied_once_verified_and_restored(tmp_path, options, place, take, restore, problems):
    site = MaildirSite(tmp_path / "data", options)
    await site.commit(*[intake(ALICE, data=letter(number)) for number in range(5)])
    first = take(site.path)
    assert (first.manifest.blobs, first.manifest.files) == ("maildir", 5)
    kept = await site.bodies(site.path)
    await site.commit(
        intake(ALICE, data=letter(5)),
        t.SetFlags(ALICE, INBOX, (1,), t.FlagChange.ADD, 8),
        t.Expunge(ALICE, INBOX, (1,)),
    )
    second = take(site.path)
    assert second.copied < second.manifest.database_length + 2 * len(letter(5))
    assert problems() == []
    restore(tmp_path / "old", first.name)
    restore(tmp_path / "new")
    assert not [path for path in tmp_path.glob("*/**/*") if path.stat().st_mode & 0o077]
    assert await site.bodies(tmp_path / "old") == kept
    assert await site.bodies(tmp_path / "new") == [*kept[1:], letter(5)]
    assert len(list(place.lengths("bodies"))) == 6
    take(site.path, keep=1)
    there = [name for name, _ in place.lengths("bodies")]
    assert sorted(name.rpartition("/")[2] for name in there) == site.files(site.path / "maildir")
    place.write(there[0], place.read(there[0])[:-1] + b"?")
    (problem,) = problems()
    assert problem == f"{place.title}/{there[0]} is damaged: its hash is not the database's"
    with pytest.raises(BackupError, match="is damaged"):
        restore(tmp_path / "third")


async def test_no_file_of_a_body_is_removed_while_a_backup_is_taken(tmp_path, options):
    site = MaildirSite(tmp_path / "data", options)
    store = open_local(site.path, site.options)
    await store.writer.commit(append(INBOX, b"one\r\n\r\n", b"two\r\n\r\n"))
    await store.writer.commit(t.SetFlags(ALICE, INBOX, (1, 2), t.FlagChange.ADD, 8))
    with directory.keep_packs(site.path):
        await store.writer.commit(t.Expunge(ALICE, INBOX, (1,)))
        assert len(site.files(site.path)) == 2
    await store.writer.commit(t.Expunge(ALICE, INBOX, (2,)))
    assert site.files(site.path) == []
    await store.close()


async def test_no_pack_is_deleted_while_a_backup_is_taken(data, take):
    with directory.may_delete_packs(data) as allowed:
        assert allowed
    seen = []

    def look(*_):
        if not seen:
            with directory.may_delete_packs(data) as allowed:
                seen.append(allowed)

    Backup(data, Folder(data.parent / "shelf"), database_file(), StillClock(), look).take()
    assert seen == [False]
    with directory.may_delete_packs(data) as allowed:
        assert allowed
    with directory.keep_packs(data), directory.keep_packs(data), directory.may_delete_packs(data) as allowed:
        assert not allowed


async def test_a_folder_without_room_for_a_jump_gets_a_new_uidvalidity(tmp_path, data, options, take, restore):
    db = apsw.Connection(str(data / "mail.db"))
    db.execute("UPDATE mailbox SET uidnext = 4294967000 WHERE id = 1")
    db.close()
    take(data)
    restore(tmp_path / "new")
    store, again = open_local(data, options), open_local(tmp_path / "new", options)
    before, after = [await one.reader.mailbox(ALICE, INBOX) for one in (store, again)]
    assert after.uidvalidity > before.uidvalidity
    assert after.uidnext == before.uidnext
    assert (await again.writer.commit(append())).target == (before.uidnext,)
    for one in (store, again):
        await one.close()


async def test_after_a_restore_everything_can_be_told_a_slice_at_a_time(tmp_path, data, options, take, restore):
    store = open_local(data, options)
    await store.writer.commit(append(INBOX, *[b"x"] * 9))
    before = await store.reader.mailbox(ALICE, INBOX)
    since, uids = before.modseq, list(await store.reader.uids(ALICE, INBOX))
    take(data)
    await store.close()
    restore(tmp_path / "new")
    again = open_local(tmp_path / "new", options)
    told, gone, more = [], [], True
    while more:
        some = await again.reader.changes(ALICE, INBOX, since, limit=2)
        assert len(some.changed) <= 2
        told += [row.uid for row in some.changed]
        gone += some.vanished
        since, more = some.modseq, some.more
    folder = await again.reader.mailbox(ALICE, INBOX)
    assert sorted(told) == uids
    assert [one.runs[-1] for one in gone] == [(before.uidnext, folder.uidnext - 1)]
    assert since == folder.modseq
    await again.close()


async def test_nothing_new_lies_among_the_uids_of_a_copy_that_was_under_way(tmp_path, data, options, take, restore):
    """Its rows are cleared away, and what lies among them would go too."""
    store = open_local(data, options)
    commit = store.writer.commit
    await commit(append())
    begun = await commit(t.BeginCopy(ALICE, INBOX, INBOX, 2_000_000))
    await commit(t.StageCopy(ALICE, begun.id, (1,)))
    (hidden,) = [row.uidnext + 2_000_000 for row in await store.reader.mailboxes(ALICE) if row.id == INBOX]
    take(data)
    await store.close()
    restore(tmp_path / "new")
    again = open_local(tmp_path / "new", options)
    assert (await again.writer.commit(append())).target[0] >= hidden + 2_000_000
    await again.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_data_directory_of_somebody_else(data, take):
    data.chmod(0)
    with pytest.raises(PermissionError):
        take(data)
    data.chmod(0o700)
