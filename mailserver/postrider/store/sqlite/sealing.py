"""The writer's keys: which account has which, and what handlers seal with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apsw
import msgspec

from postrider.store import cells
from postrider.store.cells import Cell
from postrider.store.keyring import Keyring
from postrider.store.keys import QUEUE, DataKey, KeyMissing
from postrider.store.meta import Incoming
from postrider.store.transactions import Reason, StoreError


def _silent(_event: str, **_fields: object) -> None:
    """Tell nobody."""


class Sealing:
    """Seals what one database's rows and bodies say.

    An account's row names its key. One that has none yet gets a key when something of it is to be sealed; until the
    row says so the key waits in `_fresh`, so that a transaction that is refused costs no second one.
    """

    def __init__(self, db: apsw.Connection, keyring: Keyring, emit: Callable[..., object] = _silent) -> None:
        self._db = db
        self._keyring = keyring
        self._emit = emit
        self._known: dict[str, int] = {}
        self._fresh: dict[str, int] = {}
        if keyring.on:  # keys that no row names: a server was killed, or a database was lost
            self._fresh = {owner: id_ for id_, owner in keyring.owners().items()}
            self.renamed()

    @property
    def on(self) -> bool:
        """Whether anything is to be sealed."""
        return self._keyring.on

    def key(self, id_: int) -> DataKey:
        """A key by its number. Raises KeyMissing."""
        return self._keyring.key(id_)

    def key_of(self, account: str) -> DataKey:
        """The key of an account, or the queue's. Raises KeyMissing, OSError, SyncFailed."""
        id_ = self._known.get(account) or self._noted(account) or self._fresh.get(account, 0)
        if not id_:
            id_ = self._fresh[account] = self._keyring.make(account).id
        return self._keyring.key(id_)

    def body(self, one: Incoming) -> Incoming:
        """A body with the key it is to be sealed under. Raises StoreError(UNAVAILABLE), OSError, SyncFailed."""
        try:
            self.key_of(QUEUE)  # a delivery may become a queue row
            return msgspec.structs.replace(one, seal=self.key_of(one.holder))
        except KeyMissing as error:
            raise StoreError(Reason.UNAVAILABLE, str(error)) from error

    def noted_key(self, account: str) -> DataKey:
        """The same, and the account's row names it from now on. Raises KeyMissing, OSError, SyncFailed."""
        key = self.key_of(account)
        if account != QUEUE and account not in self._known:
            self._db.execute("UPDATE account SET key_id = ? WHERE name = ? AND key_id = 0", (key.id, account))
        return key

    def cell(self, account: str, cell: Cell, blob_id: int, data: bytes) -> bytes:
        """A value for a row. Raises KeyMissing, OSError, SyncFailed."""
        return cells.sealed(self.noted_key(account), cell, blob_id, data)

    def keyed(self, account: str, values: Sequence[bytes]) -> list[bytes]:
        """Values that are compared and never read. Raises KeyMissing, OSError, SyncFailed."""
        key = self.key_of(account)
        return [compared(key, value) for value in values]

    def forget(self) -> None:
        """A transaction was undone: rows are not what they were."""
        self._known.clear()

    def renamed(self) -> None:
        """Accounts have other names, or are gone: whoever has theirs next has another key."""
        self.forget()
        rows: Any = self._db.execute("SELECT key_id FROM account UNION SELECT key_id FROM doomed")
        named = {id_ for (id_,) in rows}
        self._fresh = {owner: id_ for owner, id_ in self._fresh.items() if id_ not in named}

    def shred(self, ids: Iterable[int]) -> None:
        """Of accounts whose rows are gone, and that is durable. Raises OSError, SyncFailed."""
        if accounts := self._keyring.shred(ids):
            self._emit("store.shredded", accounts=accounts)

    def shred_doomed(self) -> None:
        """What was to be shredded when the last writer died. Raises OSError, SyncFailed."""
        rows: Any = self._db.execute("SELECT key_id FROM doomed WHERE key_id > 0").fetchall()
        if rows:
            self.shred([id_ for (id_,) in rows])

    def _noted(self, account: str) -> int:
        if account == QUEUE:
            return 0
        row: Any = self._db.execute("SELECT key_id FROM account WHERE name = ?", (account,)).fetchone()
        if row and row[0]:
            self._known[account] = row[0]
            return int(row[0])
        return 0


def compared(key: DataKey, value: bytes) -> bytes:
    """What stands for a value that is compared and never read."""
    return key.mac(value)[:16]
