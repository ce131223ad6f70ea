"""Looks whether a store is what it should be: records, each row's record, references, counters. Changes nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postrider.store import directory, framing
from postrider.store.blobs import BlobReader, Moved, Place
from postrider.store.journal import unpack_about
from postrider.store.keys import DataKey, KeyMissing, Keys, Shredded
from postrider.store.maildir import ROOT
from postrider.store.pack_files import check_frames, pack_ids, pack_path, read_frames, read_padding
from postrider.store.records import KEY_NONE, KIND_BODY, KIND_JOURNAL, BadRecord
from postrider.store.sqlite import database
from postrider.store.sqlite.files import last_commit, unneeded, written
from postrider.store.survey import Damage, Found, Progress, read_pack
from postrider.store.transactions import StoreError

#: Problems that are told one by one; nobody reads more.
_ENOUGH = 1000

#: Reports of rows that do not agree: what they are called, and a query for what the text is to say.
_SUMS: tuple[tuple[str, str], ...] = (
    (
        "body {}: used {} times, and its row says {}",
        (
            "SELECT blob.id, coalesce(n, 0), refs FROM blob LEFT JOIN (SELECT blob_id, count(*) AS n FROM"
            " (SELECT blob_id FROM email UNION ALL SELECT blob_id FROM queue) GROUP BY blob_id) ON blob_id = blob.id"
            " WHERE coalesce(n, 0) != refs"
        ),
    ),
    (
        "email {} is in no folder, and not kept as expunged either",
        (
            "SELECT id FROM email AS e WHERE"
            " NOT EXISTS (SELECT 1 FROM message AS m WHERE m.account_id = e.account_id AND m.email_id = e.id)"
            " AND NOT EXISTS (SELECT 1 FROM expunged AS x WHERE x.account_id = e.account_id AND x.email_id = e.id)"
        ),
    ),
    (
        "an email names body {}, which has no row",
        "SELECT DISTINCT blob_id FROM email WHERE blob_id NOT IN (SELECT id FROM blob)",
    ),
    (
        "the queue names body {}, which has no row",
        "SELECT DISTINCT blob_id FROM queue WHERE blob_id NOT IN (SELECT id FROM blob)",
    ),
    (
        "a message names email {}, which has no row",
        "SELECT DISTINCT email_id FROM message WHERE email_id NOT IN (SELECT id FROM email)",
    ),
    (
        "folder {}: messages, unseen, deleted, octets and deleted octets are {}, and its row says {}",
        (
            "WITH sums AS (SELECT m.account_id, m.mailbox_id, count(*) AS a, sum(NOT m.flags & 1) AS b,"
            " sum((m.flags & 8) != 0) AS c, sum(m.size) AS d, sum(iif(m.flags & 8, m.size, 0)) AS e"
            " FROM message AS m JOIN mailbox ON mailbox.account_id = m.account_id AND mailbox.id = m.mailbox_id"
            " WHERE m.uid NOT BETWEEN hidden_first AND hidden_last GROUP BY 1, 2)"
            " SELECT account.name || '/' || mailbox.name,"
            " format('%d %d %d %d %d', a, b, c, d, e) AS counted,"
            " format('%d %d %d %d %d', mailbox.messages, unseen, deleted, mailbox.bytes, deleted_bytes) AS said"
            " FROM mailbox JOIN account ON account.id = mailbox.account_id"
            " LEFT JOIN sums ON sums.account_id = mailbox.account_id AND mailbox_id = mailbox.id WHERE counted != said"
        ),
    ),
    (
        "account {}: messages and octets of its folders are {}, and its row says {}",
        (
            "SELECT account.name, format('%d %d', sum(mailbox.messages), sum(mailbox.bytes)) AS counted,"
            " format('%d %d', account.messages, account.bytes) AS said"
            " FROM account JOIN mailbox ON account_id = account.id GROUP BY account.id HAVING counted != said"
        ),
    ),
    (
        "domain {}: messages and octets of its accounts are {}, and its row says {}",
        (
            "SELECT domain, format('%d %d', sum(account.messages), sum(account.bytes)) AS counted,"
            " format('%d %d', domain_usage.messages, domain_usage.bytes) AS said"
            " FROM account LEFT JOIN domain_usage USING (domain) GROUP BY domain HAVING counted != said"
        ),
    ),
    (
        "the queue{} has {} rows, and its counter says {}",
        (
            "SELECT '', (SELECT count(*) FROM queue) AS counted, value FROM counter WHERE name = 'queued'"
            " AND value != counted"
        ),
    ),
    (
        "deliveries {} that are accounted for are {}, and its counter says {}",
        (
            "SELECT 'accepted', (SELECT sum(value) FROM counter WHERE name != 'accepted') AS counted, value"
            " FROM counter WHERE name = 'accepted' AND value != counted"
        ),
    ),
)


@dataclass(slots=True)
class Verified:
    """What was looked at, and what is wrong with it. `dead`: damage in octets that nothing needs any more.

    `unopened` records are encrypted under keys that cannot be had here: only their checksums were looked at.
    """

    packs: int = 0
    records: int = 0
    octets: int = 0
    unopened: int = 0
    problems: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)


class Verification:
    """One verification of a data directory; a server may be at work meanwhile."""

    def __init__(self, path: Path, blobs: BlobReader, progress: Progress, keys: Keys) -> None:
        self._keys = keys
        self._packs = directory.packs_directory(path)
        self._root = path / ROOT
        self._since = last_commit(path)
        self._blobs = blobs
        self._progress = progress
        self._db = database.open_reader(directory.database_path(path))
        self._done = Verified()

    def run(self) -> Verified:
        """Look at everything. Raises OSError, apsw.Error."""
        try:
            self._look_at_rows()
            for number, pack in enumerate(packs := self._known_packs()):
                self._progress("verifying packs", number, len(packs))
                self._look_at_pack(pack)
            self._look_at_files()
        finally:
            self._db.close()
        return self._done

    # -- rows ------------------------------------------------------------------------------------------------------

    def _look_at_rows(self) -> None:
        self._progress("verifying the database", 0, len(_SUMS) + 1)
        rows: Any = self._db.execute("PRAGMA integrity_check(100)").fetchall()
        for (text,) in rows:
            if text != "ok":
                self._tell(f"database: {text}")
        for number, (text, query) in enumerate(_SUMS):
            self._progress("verifying the database", number + 1, len(_SUMS) + 1)
            for row in self._db.execute(query):
                self._tell(text.format(*row))

    # -- packs -----------------------------------------------------------------------------------------------------

    def _known_packs(self) -> list[int]:
        rows: Any = self._db.execute("SELECT DISTINCT pack FROM blob WHERE path = ''").fetchall()
        unfinished: Any = self._db.execute("SELECT id FROM pack WHERE state = 'copying'").fetchall()
        return sorted({*(pack for (pack,) in rows), *pack_ids(self._packs)} - {pack for (pack,) in unfinished})

    def _look_at_pack(self, pack: int) -> None:
        try:
            self._look_at_records(pack)
        except FileNotFoundError:  # unless it was compacted away since we looked
            for row, _ in self._rows_in(pack).values():
                self._tell(f"body {row}: pack {pack} is missing")

    def _look_at_records(self, pack: int) -> None:
        rows = self._rows_in(pack)
        tail = self._tail(pack)
        fd = os.open(pack_path(self._packs, pack), os.O_RDONLY | os.O_CLOEXEC)
        try:
            for found in read_pack(self._packs, pack):
                if isinstance(found, Damage):
                    if found.start < tail:  # behind it the writer may be writing just now
                        self._done.dead.append(str(found))
                    continue
                if found.start >= tail and found.start not in rows:
                    continue
                self._done.records += 1
                self._done.octets += found.header.length
                wrong = self._wrong(fd, found)
                row, digest = rows.pop(found.start, (0, found.header.hash))
                if wrong or digest != found.header.hash:
                    damage = Damage(pack, found.start, wrong or "another body lies there")
                    if row or self._is_needed(found):
                        self._tell(f"body {row}, {damage}" if row else f"the journal, {damage}")
                    else:
                        self._done.dead.append(str(damage))
        finally:
            os.close(fd)
        self._done.packs += 1
        for start, (row, _) in rows.items():
            if self._rows_in(pack).get(start, (0, b""))[0] == row:
                self._tell(f"body {row}: no record begins at {start} of pack {pack}")

    def _wrong(self, fd: int, found: Found) -> str:
        """What is wrong with a record, "" when nothing is. Without its key a sealed one is as good as its checksums."""
        try:
            return _unlike(fd, found, self._keys)
        except KeyMissing as error:
            self._done.unopened += not isinstance(error, Shredded)  # that is as it should be
        except BadRecord as error:
            return str(error)
        return _torn(fd, found)

    def _is_needed(self, found: Found) -> bool:
        """Whether a record is one of the journal's that a rebuild would read."""
        if found.header.kind != KIND_JOURNAL:
            return False
        row: Any = self._db.execute("SELECT value FROM journal WHERE name = 'snapshot'").fetchone()
        # Without a snapshot one is written at the next start, and nothing before it is needed.
        return row is not None and unpack_about(found.meta).needed(row[0])

    def _rows_in(self, pack: int) -> dict[int, tuple[int, bytes]]:
        rows: Any = self._db.execute("SELECT start, id, hash FROM blob WHERE pack = ? AND path = ''", (pack,))
        return {start: (row, digest) for start, row, digest in rows}

    def _tail(self, pack: int) -> int:
        """Where the open pack's part begins that nobody has committed yet; the end of any other."""
        row: Any = self._db.execute(
            "SELECT (SELECT used FROM pack WHERE id = ?1), coalesce(max(id), 0) FROM pack WHERE state = 'open'", (pack,)
        ).fetchone()
        used, newest = row
        if pack >= newest:
            return int(used or 0)  # one that was just begun has no row yet
        return pack_path(self._packs, pack).stat().st_size

    # -- bodies that are files of their own ------------------------------------------------------------------------

    def _look_at_files(self) -> None:
        last = 0
        while rows := self._files_after(last):
            for last, place, digest in rows:
                try:
                    data = self._blobs.read(place, 0, None)
                except (Moved, StoreError) as error:
                    self._tell(f"body {last}: {error}")
                    continue
                self._done.octets += len(data)
                self._done.records += 1
                if hashlib.sha256(data).digest() != digest:
                    self._tell(f"body {last}: {place.path} is not what was stored")
        for path in unneeded(self._db, self._root):
            if written(path) < self._since:  # else its row may be on its way
                self._done.dead.append(f"{path}: a body's file without a row: `store compact` removes it")

    def _files_after(self, last: int) -> list[tuple[int, Place, bytes]]:
        rows: Any = self._db.execute(
            "SELECT id, pack, start, path, hash FROM blob WHERE path != '' AND id > ? ORDER BY id LIMIT 500", (last,)
        ).fetchall()
        return [(row, Place(pack, start, path), digest) for row, pack, start, path, digest in rows]

    def _tell(self, problem: str) -> None:
        if len(self._done.problems) < _ENOUGH:
            self._done.problems.append(problem)


def _unlike(fd: int, found: Found, keys: Keys) -> str:
    """Whether a record is not what its header says. Raises BadRecord, KeyMissing."""
    header = found.header
    read_padding(fd, found.start, header)
    if header.key_id != KEY_NONE:
        digest = _authenticated(fd, found, keys(header.key_id))
    else:
        digest = _digest(read_frames(fd, found.start, header, found.frames))
    kind = "body" if header.kind == KIND_BODY else "journal record"
    return "" if digest == header.hash else f"the {kind} does not have the hash that its record says"


def _authenticated(fd: int, found: Found, key: DataKey) -> bytes:
    """The hash that a sealed record should say. Raises BadRecord."""
    framing.decode_meta(found.header, found.meta, key.octets)
    return key.mac(_digest(read_frames(fd, found.start, found.header, found.frames, key.octets)))


def _torn(fd: int, found: Found) -> str:
    try:
        check_frames(fd, found.start, found.frames)
    except BadRecord as error:
        return str(error)
    return ""


def _digest(pieces: Iterator[bytes]) -> bytes:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.digest()
