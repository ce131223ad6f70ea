"""Makes the database again from the packs: rows from the journal; mail that the journal does not know is delivered.

The old database is put aside under another name, never removed. The packs stay as they are, but that the record of a
batch that was never committed is taken out of them. What a rebuild changes comes into the journal at the next start:
else it were lost with the database once more.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import msgspec

from postrider.store import directory, framing, meta
from postrider.store.blobs import Location
from postrider.store.directory import CannotOpen
from postrider.store.keyring import Keyring
from postrider.store.keys import KeyMissing, Shredded
from postrider.store.maildir import ROOT
from postrider.store.meta import Belongs
from postrider.store.pack_files import pack_path, sync_directory
from postrider.store.pack_reader import read_range
from postrider.store.packs import Packs
from postrider.store.records import FILE_HEADER, KIND_BODY, BadRecord
from postrider.store.sqlite import database, delivery, ledger, rebuild_files
from postrider.store.sqlite.accounts import next_uidvalidity
from postrider.store.sqlite.journal import Journal
from postrider.store.sqlite.mend import mend
from postrider.store.sqlite.rebuild_files import Content
from postrider.store.sqlite.replay import NoJournal, Replay
from postrider.store.sqlite.sealing import Sealing
from postrider.store.sqlite.transaction import Running
from postrider.store.survey import Damage, Entry, Found, Progress, Survey, look_through, read_pack
from postrider.store.transactions import StoreError
from postrider.store.values import Body

_DRAFT = "mail.db.rebuilding"


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild did, and what it could not."""

    accounts: int = 0
    mailboxes: int = 0
    messages: int = 0
    queued: int = 0
    #: The last batch of the journal, and how many before it are missing.
    last_batch: int = 0
    missing_batches: int = 0
    #: Bodies of batches that the journal does not know: delivered once more. Folders of these accounts have a new
    #: UIDVALIDITY.
    delivered_again: int = 0
    renewed: list[str] = field(default_factory=list)
    #: Bodies that rows name and no pack has.
    lost_bodies: int = 0
    damage: list[Damage] = field(default_factory=list)
    #: Damage in octets that nothing needs any more.
    dead: list[Damage] = field(default_factory=list)
    #: Bodies' files that no row names, and why: `store compact` removes them.
    left: list[str] = field(default_factory=list)
    #: The name the old database has now, "" when there was none.
    put_aside: str = ""


@dataclass(frozen=True, slots=True)
class Around:
    """What a rebuild needs beside the packs; `now` in seconds since the epoch."""

    content: Content
    keyring: Keyring
    now: int


class Rebuild:
    """One rebuild of a data directory, which must not be in use."""

    def __init__(self, path: Path, around: Around, progress: Progress) -> None:
        self._path = path
        self._packs = directory.packs_directory(path)
        self._content = around.content
        self._keyring = around.keyring
        self._progress = progress
        self._now = around.now
        self._done = Rebuilt()
        self._newest = 0
        #: The last batch that a record tells of.
        self._last = 0
        #: Collects what is changed after the replay.
        self._changes: Journal

    def run(self, wait: float) -> Rebuilt:
        """Do it. Raises OSError, apsw.Error; CannotOpen: the directory is in use, half restored or has no journal."""
        directory.check_restored(self._path)
        lock = directory.lock(self._path, wait)
        draft = self._path / _DRAFT
        try:
            survey = look_through(self._packs, self._progress)
            self._newest = max(survey.used, default=0)
            for left in (draft, Path(f"{draft}-wal"), Path(f"{draft}-shm")):
                left.unlink(missing_ok=True)
            db = database.open_writer(draft)
            try:
                self._fill(db, survey)
            finally:
                db.close()
            if survey.unsynced:
                self._take_out(survey.unsynced)
            self._put_in_place(draft)
        finally:
            os.close(lock)
        return self._done

    def _fill(self, db: apsw.Connection, survey: Survey) -> None:
        db.pragma("synchronous", "off")  # it is worth nothing before it is whole, and it is synced then
        with db:
            replay = Replay(db, survey.entries, self._now)
            try:
                replay.run(self._read_entry, lambda done, total: self._progress("reading the journal", done, total))
            except (NoJournal, KeyError) as error:
                raise CannotOpen(f"{self._packs} has no journal: it was written by a release without one") from error
            except (BadRecord, msgspec.DecodeError) as error:
                raise CannotOpen(f"the journal in {self._packs} is damaged: {error}") from error
            self._done.last_batch, self._done.missing_batches = replay.last, len(replay.missing)
            if replay.missing:
                mend(Running(db, self._now))
            self._changes = Journal(db, Packs(self._packs), lambda: self._now)
            told = [*survey.entries, survey.unsynced] if survey.unsynced else survey.entries
            self._last = max([replay.last, *(entry.about.batch for entry in told)])
            self._match_bodies(db, survey, lambda batch: batch > replay.last or batch in replay.missing)
            self._match_files(db)
            _count_packs(db, survey, replay.first)
            if replay.missing:  # nobody knows what they changed
                self._renew(db, [name for (name,) in db.execute("SELECT name FROM account ORDER BY name")])
            self._changes.leave(replay.last + 1, self._last)
        self._tell_damage(survey, whole=not (replay.missing or self._done.lost_bodies))
        self._count(db)
        db.pragma("synchronous", "full")
        db.pragma("journal_mode", "delete")

    def _read_entry(self, entry: Entry) -> bytes:
        with pack_path(self._packs, entry.pack).open("rb") as file:
            return read_range(file.fileno(), entry.start)

    # -- bodies ----------------------------------------------------------------------------------------------------

    def _match_bodies(self, db: apsw.Connection, survey: Survey, unknown: Callable[[int], bool]) -> None:
        """Look for the record of every body's row, and for records of batches that the journal does not know."""
        missing: dict[bytes, list[int]] = {}
        seen: dict[tuple[bytes, bytes], int] = {}
        for done, pack in enumerate(survey.used):
            self._progress("looking for bodies", done, len(survey.used))
            rows: Any = db.execute("SELECT start, id, hash FROM blob WHERE pack = ? AND path = ''", (pack,))
            known = {start: (row, digest) for start, row, digest in rows}
            for found in self._bodies(pack):
                row, digest = known.get(found.start, (0, b""))
                if digest == found.header.hash:
                    del known[found.start]
                elif self._is_late(found, unknown) and seen.setdefault((found.header.hash, found.meta), pack) == pack:
                    self._deliver(db, found)  # what is there twice came twice; in another pack it would be a copy
            for row, digest in known.values():
                missing.setdefault(digest, []).append(row)
        gone: Any = db.execute("SELECT id, hash, pack FROM blob WHERE path = ''")
        for row, digest, pack in gone.fetchall():
            if pack not in survey.used:
                missing.setdefault(digest, []).append(row)
        if missing:
            self._find_elsewhere(db, survey, missing)

    def _bodies(self, pack: int) -> Iterator[Found]:
        for found in read_pack(self._packs, pack):
            if isinstance(found, Found) and found.header.kind == KIND_BODY:
                yield found

    def _is_late(self, found: Found, unknown: Callable[[int], bool]) -> bool:
        belongs = self._belongs(found)
        if not belongs:
            return False
        self._last = max(self._last, belongs.batch)
        return bool(unknown(belongs.batch) and (belongs.placed or belongs.queued))

    def _belongs(self, found: Found) -> Belongs | None:
        try:
            key = self._keyring.key(found.header.key_id).octets if found.header.key_id else b""
            return meta.unpack_belongs(framing.decode_meta(found.header, found.meta, key))
        except Shredded:
            return None
        except (msgspec.DecodeError, BadRecord, KeyMissing) as error:
            self._done.damage.append(Damage(found.pack, found.start, f"it does not say whose it is: {error}"))
            return None

    def _deliver(self, db: apsw.Connection, found: Found) -> None:
        belongs = self._belongs(found) or Belongs()
        header = found.header
        sealing = Sealing(db, self._keyring) if self._keyring.on else None
        run = Running(db, self._now, [Location(found.pack, found.start, header)], sealing=sealing)
        try:
            with pack_path(self._packs, found.pack).open("rb") as file:
                cached, thread_keys = self._content(read_range(file.fileno(), found.start, keys=self._keyring.key))
            with self._part(db):
                body = Body(header.hash, header.size)
                delivery.intake(run, meta.intake_again(belongs, body, cached, thread_keys))
                ledger.add_counts(db, run.counts)
        except (BadRecord, StoreError) as error:
            # At the very end it was torn when the power went, and nobody was told that it was there.
            if found.pack != self._newest or isinstance(error, StoreError):
                self._done.damage.append(Damage(found.pack, found.start, f"it cannot be delivered again: {error}"))
            return
        self._done.delivered_again += 1
        self._renew(db, [row.account for row in belongs.placed])

    def _match_files(self, db: apsw.Connection) -> None:
        """The same for bodies that are files."""
        root = self._path / ROOT
        self._done.lost_bodies += rebuild_files.missing(db, root)
        for path, account in rebuild_files.late(db, root):
            try:
                if not account:
                    raise OSError("nobody knows any more whose it is")
                with self._part(db):
                    rebuild_files.deliver(Running(db, self._now), root, path, account, self._content)
            except (OSError, StoreError) as error:
                self._done.left.append(f"{root / path} cannot be delivered again: {error}")
                continue
            self._done.delivered_again += 1
            self._renew(db, [account])

    @contextmanager
    def _part(self, db: apsw.Connection) -> Iterator[None]:
        """What is done in here is undone as a whole."""
        self._changes.begin_part()
        kept = False
        try:
            with db:
                yield
            kept = True
        finally:
            self._changes.end_part(kept=kept)

    def _renew(self, db: apsw.Connection, accounts: list[Any]) -> None:
        """Whatever clients know of these accounts may be about what is lost."""
        for name in accounts:
            if name in self._done.renewed:
                continue
            self._done.renewed.append(name)
            folders: Any = db.execute(
                "SELECT account_id, mailbox.id FROM mailbox JOIN account ON account.id = account_id"
                " WHERE account.name = ?",
                (name,),
            )
            for key in folders.fetchall():
                number = next_uidvalidity(Running(db, self._now))
                db.execute("UPDATE mailbox SET uidvalidity = ? WHERE account_id = ? AND id = ?", (number, *key))

    def _find_elsewhere(self, db: apsw.Connection, survey: Survey, missing: dict[bytes, list[int]]) -> None:
        """A body may lie in another pack: a copy that was not noted, or damage that was copied around."""
        for pack in survey.used:
            for found in self._bodies(pack):
                for row in missing.pop(found.header.hash, ()):
                    header = found.header
                    db.execute(
                        "UPDATE blob SET pack = ?, start = ?, codec = ?, key_id = ?, stored = ? WHERE id = ?",
                        (pack, found.start, header.codec, header.key_id, header.length, row),
                    )
        self._done.lost_bodies = sum(map(len, missing.values()))

    def _tell_damage(self, survey: Survey, *, whole: bool) -> None:
        """Where all changes and bodies are there, nobody needs what is damaged before the last record of changes."""
        for one in survey.damage:
            dead = whole and (one.pack, one.start) < survey.end
            (self._done.dead if dead else self._done.damage).append(one)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _count(self, db: apsw.Connection) -> None:
        row: Any = db.execute(
            "SELECT (SELECT count(*) FROM account), (SELECT count(*) FROM mailbox), (SELECT count(*) FROM message),"
            " (SELECT count(*) FROM queue)"
        ).fetchone()
        self._done.accounts, self._done.mailboxes, self._done.messages, self._done.queued = row

    def _take_out(self, entry: Entry) -> None:
        """Its number is given to what the rebuild has changed."""
        with pack_path(self._packs, entry.pack).open("r+b") as file:
            file.seek(entry.start)
            file.write(bytes(entry.length))
            file.flush()
            os.fsync(file.fileno())

    def _put_in_place(self, draft: Path) -> None:
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        old = directory.database_path(self._path)
        aside = self._free_name(f"{old.name}.before-{self._now}")
        for ending in ("", "-wal", "-shm"):  # in this order: without its WAL the old one must not be served
            part = Path(f"{old}{ending}")
            if part.exists():  # the WAL alone is there where a rebuild was killed just here
                part.rename(self._path / f"{aside}{ending}")
                self._done.put_aside = aside
        draft.rename(old)
        sync_directory(self._path)

    def _free_name(self, name: str) -> str:
        """The name, or one like it where there was a rebuild in this second already."""
        names = itertools.chain((name,), (f"{name}.{number}" for number in itertools.count(2)))
        return next(name for name in names if not any(self._path.glob(f"{name}*")))


def _count_packs(db: apsw.Connection, survey: Survey, first: int) -> None:
    """The rows of packs: how far they are used, what is dead, what of the journal is needed."""
    rows: Any = db.execute("SELECT pack, sum(stored) FROM blob WHERE path = '' GROUP BY pack")
    live = dict(rows)
    needed: Counter[int] = Counter()
    batches: dict[int, int] = {}
    for entry in survey.entries:
        needed[entry.pack] += entry.length if entry.about.needed(first) else 0
        batches[entry.pack] = max(batches.get(entry.pack, 0), entry.about.batch)
    db.executemany("INSERT INTO pack (id, used, state) VALUES (?, 0, 'copying')", [(pack,) for pack in survey.blank])
    for pack, used in survey.used.items():
        dead = max(0, used - FILE_HEADER.size - live.get(pack, 0) - needed[pack])
        db.execute(
            "INSERT INTO pack (id, used, dead, journal, batch) VALUES (?, ?, ?, ?, ?)",
            (pack, used, dead, needed[pack], batches.get(pack, 0)),
        )
