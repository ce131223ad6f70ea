"""Fills a small disk with mail and says what happened: python store_filling.py DIRECTORY (the root of that disk)."""

import asyncio
import json
import sys
from pathlib import Path

import apsw
from stored import ALICE, EVERY_LANE, INBOX, NOON, StillClock, append, enqueue, intake

from postrider.store import transactions as t
from postrider.store.open import Options, open_local
from postrider.store.transactions import StoreError

MIB = 1024 * 1024


async def reason(awaitable):
    try:
        await awaitable
    except StoreError as error:
        return error.reason.value
    return "ok"


async def until_refused(store, clock):
    kept = 0
    while (answer := await reason(store.writer.commit(intake(ALICE, data=bytes([kept % 256]) * 60_000)))) == "ok":
        kept += 1
        clock.seconds += 1
    return answer, kept


async def whole(store, count):
    """Whether every message that was acknowledged is there and whole."""
    rows = [
        row
        for first in range(1, count + 1, 50)
        for row in await store.reader.messages(ALICE, INBOX, range(first, first + 50))
    ]
    return [
        (await store.reader.body(ALICE, row.blob))[1:] == (await store.reader.body(ALICE, row.blob))[:-1]
        for row in rows
    ].count(True)


async def main(disk):
    clock = StillClock()
    reserve = disk / "reserve"
    reserve.write_bytes(bytes(4 * MIB))
    shared = {"clock": clock, "allow_tmpfs": True, "measure_sync": False, "pack_size": MIB, "floor_part": 1.0}
    store = open_local(disk / "data", Options(**shared, floor_bytes=3 * MIB))
    commit = store.writer.commit
    await commit(intake(enqueue=(enqueue(),)))
    await commit(append(INBOX, b"x", flags=8))
    (row,) = await commit(t.Claim(EVERY_LANE, NOON, 60, 1))
    said = {}
    said["below the floor"], kept = await until_refused(store, clock)
    said["append"] = await reason(commit(append()))
    said["expunge"] = await reason(commit(t.Expunge(ALICE, INBOX, (1,))))
    said["flags"] = await reason(commit(t.SetFlags(ALICE, INBOX, (2,), t.FlagChange.ADD, 1)))
    said["settle"] = await reason(commit(t.Settle((t.Settlement(row.id, row.epoch, t.Outcome.DELIVERED),))))
    said["login"] = await reason(commit(t.Remember("login", b"", NOON)))
    reserve.unlink()
    clock.seconds += 1
    said["with space again"] = await reason(commit(intake(ALICE, data=b"z" * 60_000)))
    kept += 1
    await store.close()
    # Without a floor the disk is really full: at the write, for the pack is preallocated.
    store = open_local(disk / "data", Options(**shared, floor_bytes=0))
    said["full"], more = await until_refused(store, clock)
    await store.close()
    store = open_local(disk / "data", Options(**shared, floor_bytes=0))
    said["lost"] = kept + more - await whole(store, kept + more + 1)
    said["kept"] = kept + more
    await store.close()
    said["integrity"] = apsw.Connection(str(disk / "data" / "mail.db")).pragma("integrity_check")
    print(json.dumps(said))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
