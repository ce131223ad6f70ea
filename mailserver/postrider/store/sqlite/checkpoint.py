"""Brings the write-ahead log into the database, beside the commits, so that nobody's answer waits for it.

A thread copies what is in the WAL while batches go on. The WAL begins anew only when all of it is copied at a moment
without a writer: so the thread goes again over what came meanwhile until that is little, and then the little is copied
between two batches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import apsw

from postrider.store.sqlite import database

#: Pages that are copied between two batches without anybody noticing, and rounds until it is done all the same.
_LITTLE = 256
_ROUNDS = 8


class Checkpointer:
    """Watches one database's WAL; `limit` is the length, in pages, at which copying begins.

    `failed` is told what went wrong in the thread, and decides what that means.
    """

    def __init__(self, db: apsw.Connection, path: Path, limit: int, failed: Callable[[Exception], object]) -> None:
        self._db = db
        self._limit = limit
        self._path = path
        self._failed = failed
        self._aside: threading.Thread | None = None
        self._begin_at = limit
        #: The WAL's length when the thread's present round began, and which it is.
        self._begun = self._round = 0
        #: The WAL's length after the last commit, in pages.
        self.pages = 0
        db.set_wal_hook(self._committed)

    def between(self) -> bool:
        """To be called between batches; whether there was anything to do at once. Raises apsw.Error."""
        if self._aside is None:
            if self.pages >= self._begin_at:
                self._start(1)
        elif not self._aside.is_alive():
            if self.pages - self._begun > _LITTLE and self._round < _ROUNDS:
                self._start(self._round + 1)
            else:
                self._aside = None
                return self.finish()
        return False

    def finish(self) -> bool:
        """Copy now what is there. Raises apsw.Error."""
        if self._aside:
            self._aside.join()
        pages, copied = self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        # What a reader still needs stays; trying again at once would only sync again.
        self._begin_at = self._limit if copied >= pages else pages + self._limit // 4
        return True

    def _start(self, number: int) -> None:
        self._begun, self._round = self.pages, number
        self._aside = threading.Thread(target=self._copy, name="store-checkpoint", daemon=True)
        self._aside.start()

    def _copy(self) -> None:
        try:
            db = database.open_checkpointer(self._path)
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            db.close()
        except apsw.Error as error:
            self._failed(error)

    def _committed(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        self.pages = pages
        return apsw.SQLITE_OK
