"""Any history of transactions does the same in SQLite as in memory: UIDs, modseqs, flags, counters, tombstones, ids."""

import asyncio
import os
import shutil
import tempfile

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from stored import ALICE, BOB, EVERY_LANE, NOON, StillClock, body_of, enqueue, intake

from postrider.store import transactions as t
from postrider.store.open import Options, memory, open_local
from postrider.store.transactions import FlagChange, Outcome, QueueAdmin, StoreError

accounts = st.sampled_from([ALICE, ALICE, BOB])
folders = st.sampled_from([1, 1, 2, 3, 7, 8, 99])
uids = st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple)
flags = st.integers(0, 31)
keywords = st.lists(st.sampled_from(["a", "b", "$Junk"]), max_size=2).map(tuple)
names = st.sampled_from(["x", "x/y", "x/y/z", "inbox", "INBOX/in", "Sent", "new", "/", "x//y"])
keys = st.lists(st.sampled_from([b"1", b"2", b"3", b"4"]), max_size=3).map(tuple)
quotas = st.sampled_from([0, 0, 0, 60, 200])
data = st.binary(max_size=40)
rows = st.integers(1, 6)
epochs = st.integers(0, 5)
messages = st.builds(t.NewMessage, data.map(body_of), st.just(NOON), st.just(b""), flags, keywords, keys)
deliveries = st.builds(
    t.Deliver, accounts, st.binary(max_size=9), st.sampled_from(["", "x", "Sent"]), st.sampled_from(["", "\\Junk"]),
    flags, keywords, quotas, st.sampled_from(["", "alice@a.test"]),
)  # fmt: skip
settlements = st.lists(st.builds(t.Settlement, rows, epochs, st.sampled_from(Outcome), st.just(NOON + 5)), max_size=2)

transactions = st.one_of(
    st.builds(
        lambda content, to, names, **more: intake(data=content, deliver=tuple(to), enqueue=names, **more),
        data, st.lists(deliveries, max_size=3), st.sampled_from([(), (enqueue(),), (enqueue("x@d.test"), enqueue())]),
        thread_keys=keys, settle=settlements.map(tuple), count=st.booleans(), discarded=st.integers(0, 1),
    ),
    st.builds(t.Append, accounts, folders, st.lists(messages, min_size=1, max_size=3).map(tuple), quotas),
    st.builds(t.Copy, accounts, folders, uids, folders, st.booleans(), quotas),
    st.builds(
        t.SetFlags, accounts, folders, uids, st.sampled_from(FlagChange), flags, keywords,
        st.none() | st.integers(1, 30),
    ),
    st.builds(t.Expunge, accounts, folders, uids),
    st.builds(t.CreateMailbox, accounts, names, st.sampled_from(["", "\\Archive"])),
    st.builds(t.DeleteMailbox, accounts, folders),
    st.builds(t.RenameMailbox, accounts, folders, names),
    st.builds(t.Subscribe, accounts, names, st.booleans()),
    st.builds(t.TouchRecent, accounts, folders),
    st.builds(t.Release, accounts),
    st.builds(t.Claim, st.just(EVERY_LANE), st.integers(NOON, NOON + 20), st.just(9), st.integers(1, 3)),
    st.builds(t.FreeClaims, st.just(EVERY_LANE)),
    st.builds(t.Renew, rows, epochs, st.just(NOON), st.just(30)),
    st.builds(t.Settle, settlements.map(tuple)),
    st.builds(t.Administer, st.lists(rows, max_size=2).map(tuple), st.sampled_from(QueueAdmin), st.just(NOON)),
)  # fmt: skip


async def outcome(store, txn):
    try:
        return await store.writer.commit(txn)
    except StoreError as error:
        return error.reason


async def picture(reader):
    """Everything that can be read."""
    seen = [await reader.counters(), await reader.queue(), await reader.next_due(EVERY_LANE)]
    for account in (ALICE, BOB):
        seen += [await reader.mailboxes(account), await reader.usage(account), await reader.subscriptions(account)]
        for folder in await reader.mailboxes(account):
            rows = await reader.messages(account, folder.id, await reader.uids(account, folder.id))
            seen += [rows, [await reader.body(account, row.blob) for row in rows]]
            for since in (0, 5, folder.modseq - 1):
                changes = await reader.changes(account, folder.id, since)
                seen += [changes.modseq, changes.changed]
                # An implementation may name UIDs again that had vanished before (RFC 7162 §3.2.10).
                seen.append({uid for gone in changes.vanished for uid in gone.uids if uid < folder.uidnext})
    return seen


async def same(history):
    options = Options(clock=StillClock(), allow_tmpfs=True, measure_sync=False, pack_size=64 * 1024)
    directory = tempfile.mkdtemp(prefix="postrider-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    one, two = memory(options), open_local(directory, options)
    try:
        for txn in history:
            assert await outcome(one, txn) == await outcome(two, txn), txn
            assert await picture(one.reader) == await picture(two.reader), txn
    finally:
        await one.close()
        await two.close()
        shutil.rmtree(directory)


# Shrinking would take minutes: the transaction that differs is named anyway.
@settings(
    max_examples=12, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(st.lists(transactions, min_size=5, max_size=25))
def test_memory_and_sqlite_agree(history):
    asyncio.run(same(history))
