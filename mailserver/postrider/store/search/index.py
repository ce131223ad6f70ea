"""The writing half of the index: documents in and out, a batch a transaction with the folder's new mark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from postrider.store.keys import DataKey
from postrider.store.search import file
from postrider.store.search.file import Marks
from postrider.store.search.wanted import Document, Part
from postrider.store.search.words import columns
from postrider.store.values import Account

#: A document's number is its folder's, shifted by as many bits as a UID has, and its UID.
UID_BITS = 32
#: Documents read or taken out at once.
SLICE = 1000
#: Pages that are written at once while all of an index is.
PAGES = 200
_FOLDER = "SELECT id, account, uidvalidity, mailbox, indexed, documents FROM folder"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as the index knows it: all its messages up to the UID `indexed` are covered, by so many documents."""

    id: int
    account: Account
    uidvalidity: int
    mailbox: int
    indexed: int
    documents: int

    def number(self, uid: int) -> int:
        """A message's number in the index."""
        return self.id << UID_BITS | uid


class Index:
    """An index file, opened for writing; from one thread at a time. Everything raises apsw.Error."""

    def __init__(self, path: Path, marks: Marks, build: int, key: DataKey | None = None) -> None:
        """With a key it is that of one account."""
        self._path = path
        self._key = key
        #: 0: it is the shared one.
        self.key_id = key.id if key else 0
        self._db, self.begun_anew = file.open_writer(path, marks, build, key)
        self._inode = path.stat().st_ino

    def is_there(self) -> bool:
        """False when somebody took the file away."""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def belongs_to(self, account: Account) -> None:
        """All of it is this account's, whatever its name was."""
        self._db.execute("UPDATE folder SET account = ?1 WHERE account <> ?1", (account,))

    def accounts(self) -> list[Account]:
        """All accounts of which something is indexed."""
        rows = self._db.execute("SELECT DISTINCT account FROM folder ORDER BY account")
        return [Account(str(name)) for (name,) in rows]

    def folders(self, account: Account) -> dict[int, Folder]:
        """The folders of an account by UIDVALIDITY, which none shares with another."""
        rows: Any = self._db.execute(f"{_FOLDER} WHERE account = ?", (account,))
        return {folder.uidvalidity: folder for folder in (Folder(*row) for row in rows)}

    def open_folder(self, account: Account, uidvalidity: int, mailbox: int) -> Folder:
        """A folder, made where it is new; `mailbox` is its id in the store now."""
        self._db.execute(
            "INSERT INTO folder (account, uidvalidity, mailbox) VALUES (?, ?, ?)"
            " ON CONFLICT (account, uidvalidity) DO UPDATE SET mailbox = excluded.mailbox",
            (account, uidvalidity, mailbox),
        )
        return self.folders(account)[uidvalidity]

    def put(self, folder: Folder, documents: Sequence[Document], upto: int) -> None:
        """Index these messages, all that the folder has above its mark and up to the UID `upto`, its new mark."""
        with self._db:
            for part in Part:
                self._db.executemany(
                    f"INSERT INTO {part} (rowid, text) VALUES (?, ?)",
                    # Every text of one or two characters is the beginning of some trigram.
                    [(folder.number(each.uid), each.texts[part] + "\n\n") for each in documents if part in each.texts],
                )
            self._db.executemany(
                "INSERT INTO words (rowid, subject, people, body) VALUES (?, ?, ?, ?)",
                [(folder.number(each.uid), *columns(each.texts)) for each in documents],
            )
            self._db.executemany(
                "INSERT INTO document (id, partial, texts) VALUES (?, ?, ?)",
                [(folder.number(each.uid), not each.whole, file.pack_texts(each.texts)) for each in documents],
            )
            self._db.execute(
                "UPDATE folder SET indexed = ?, documents = documents + ? WHERE id = ?",
                (upto, len(documents), folder.id),
            )

    def uids(self, folder: Folder) -> Iterator[list[int]]:
        """The UIDs of a folder that are indexed, rising, SLICE at a time; what was handed out may be removed."""
        first, last = folder.number(0), folder.number((1 << UID_BITS) - 1)
        sql = "SELECT id FROM document WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
        while rows := self._db.execute(sql, (first, last, SLICE)).fetchall():
            numbers: list[int] = [row[0] for row in rows]  # type: ignore[misc]
            yield [number - folder.number(0) for number in numbers]
            first = numbers[-1] + 1

    def remove(self, folder: Folder, uids: Sequence[int]) -> None:
        """Take messages out; those that are not there are none."""
        numbers = [(folder.number(uid),) for uid in uids]
        with self._db:
            for table in (*Part, "words"):
                self._db.executemany(f"DELETE FROM {table} WHERE rowid = ?", numbers)
            before = self._db.total_changes()
            self._db.executemany("DELETE FROM document WHERE id = ?", numbers)
            gone = self._db.total_changes() - before
            self._db.execute("UPDATE folder SET documents = documents - ? WHERE id = ?", (gone, folder.id))

    def forget(self, folder: Folder) -> bool:
        """Take a slice of a folder out, or the folder when nothing is left in it; True when it is gone."""
        # Nothing is covered any more before the first message is gone.
        self._db.execute("UPDATE folder SET indexed = 0 WHERE id = ?", (folder.id,))
        for uids in self.uids(folder):
            self.remove(folder, uids)
            return False
        self._db.execute("DELETE FROM folder WHERE id = ?", (folder.id,))
        return True

    def note_departure(self, moment: float) -> None:
        """An account leaves for a file of its own: what is here of it has to go without a trace."""
        self._db.execute("UPDATE mark SET departed = ? WHERE departed = 0", (int(moment),))

    def departed(self) -> tuple[int, bool]:
        """When the first account left of which there may be a trace (0: none), and whether anything else is here."""
        row: Any = self._db.execute("SELECT departed, EXISTS (SELECT 1 FROM document) FROM mark").fetchone()
        return row[0], bool(row[1])

    def purge(self) -> Iterator[None]:
        """Write all postings anew, some PAGES a step: what was removed lies there until chance has it."""
        for table in (*Part, "words"):
            pages = -PAGES  # begins with all segments of the table (FTS5 §6.7)
            done = False
            while not done:
                before = self._db.total_changes()
                self._db.execute(f"INSERT INTO {table}({table}, rank) VALUES ('merge', ?)", (pages,))
                done, pages = self._db.total_changes() - before < 2, PAGES
                yield
        self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._db.execute("UPDATE mark SET departed = 0")

    def rest(self) -> None:
        """Give back memory."""
        self._db.pragma("shrink_memory")

    def close(self) -> None:
        """Close in good order, or as well as it goes."""
        try:
            file.close_writer(self._db, self._key)
        except apsw.Error:  # the mark of this boot stays: the next opening decides
            self._db.close()
