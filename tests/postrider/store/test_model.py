"""Any history of transactions does the same in SQLite as in memory.

UIDs, modseqs, flags, counters, tombstones, ids, the change log, copies that are staged, the undelete window, users' own
\\Seen, rights, annotations, things, quotas of domains.
"""

import asyncio

import memory_disk
from histories import transactions
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from stored import BOB, EVERY_LANE, StillClock

from postrider.model.runs import counted
from postrider.store.open import Options, memory, open_local
from postrider.store.transactions import StoreError


async def outcome(store, txn):
    try:
        return await store.writer.commit(txn)
    except StoreError as error:
        return error.reason


async def log(reader, account, since):
    """The change log; whoever reads it takes its messages and tombstones in any order."""
    told = await reader.account_changes(account, since)
    gone = {(one.mailbox_id, one.modseq, uid) for one in told.vanished for uid in range(one.first, one.last + 1)}
    return told.modseq, told.floor, told.more, set(told.messages), gone, set(told.others)


async def picture(reader):
    """Everything that can be read."""
    seen = [await reader.counters(), await reader.queue(), await reader.next_due(EVERY_LANE)]
    seen += [await reader.accounts(), await reader.domain_usage("mail/a.test")]
    seen += [await reader.shared_with([BOB, "anyone"])]
    for account in [row.name for row in await reader.accounts()]:
        seen += [await reader.rights(account), await reader.things(account), await reader.expunged(account)]
        seen += [await reader.annotations(account, folder, ["", BOB]) for folder in (0, 1, 7)]
        seen += [await log(reader, account, since) for since in (0, 20)]
        seen += [await reader.appended(account, [b"a", b"b"])]
        seen += [await reader.mailboxes(account), await reader.usage(account), await reader.subscriptions(account)]
        for folder in await reader.mailboxes(account):
            rows = await reader.messages(account, folder.id, await reader.uids(account, folder.id))
            seen += [rows, [await reader.body(account, row.blob) for row in rows]]
            seen += [await reader.seen(account, folder.id, BOB)]
            seen += [await reader.locate(account, [row.email_id for row in rows])]
            seen += [await reader.thread(account, row.thread_id) for row in rows[:2]]
            for since in (0, 5, folder.modseq - 1):
                changes = await reader.changes(account, folder.id, since)
                seen += [changes.modseq, changes.changed]
                # An implementation may name UIDs again that had vanished before (RFC 7162 §3.2.10).
                seen.append({uid for gone in changes.vanished for uid in counted(gone.runs) if uid < folder.uidnext})
    return seen


async def same(history):
    options = Options(clock=StillClock(), allow_tmpfs=True, measure_sync=False, pack_size=64 * 1024)
    with memory_disk.directory() as directory:
        one, two = memory(options), open_local(directory, options)
        try:
            for txn in history:
                assert await outcome(one, txn) == await outcome(two, txn), txn
                assert await picture(one.reader) == await picture(two.reader), txn
        finally:
            await one.close()
            await two.close()


# Shrinking would take minutes: the transaction that differs is named anyway.
@settings(
    max_examples=16, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(st.lists(transactions, min_size=5, max_size=30))
def test_memory_and_sqlite_agree(history):
    asyncio.run(same(history))
