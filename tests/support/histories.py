"""Hypothesis strategies for transactions of all kinds, on two accounts whose folders and messages they often hit."""

from hypothesis import strategies as st
from stored import ALICE, BOB, EVERY_LANE, NOON, body_of, enqueue, intake

from postrider.store import transactions as t
from postrider.store.names import released
from postrider.store.transactions import FlagChange, Outcome, QueueAdmin

accounts = st.sampled_from([ALICE, ALICE, BOB])
folders = st.sampled_from([1, 1, 2, 3, 7, 8, 99])
uids = st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple)
flags = st.integers(0, 31)
keywords = st.lists(st.sampled_from(["a", "b", "$Junk", "$junk"]), max_size=2).map(tuple)
names = st.sampled_from(["x", "x/y", "x/y/z", "inbox", "INBOX/in", "Sent", "new", "/", "x//y"])
keys = st.lists(st.sampled_from([b"1", b"2", b"3", b"4"]), max_size=3).map(tuple)
quotas = st.sampled_from([0, 0, 0, 60, 200])
data = st.binary(max_size=40)
rows = st.integers(1, 6)
epochs = st.integers(0, 5)
once = st.sampled_from([b"", b"", b"a", b"b"])
grantees = st.sampled_from(["", "", BOB, "anyone"])
copies = st.integers(1, 3)
times = st.sampled_from([NOON, NOON + 1])
slices = st.integers(1, 4)
messages = st.builds(t.NewMessage, data.map(body_of), st.just(NOON), st.just(b""), flags, keywords, keys, once)
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
    st.builds(t.Append, accounts, folders, st.lists(messages, min_size=1, max_size=3).map(tuple), quotas, quotas),
    st.builds(t.Copy, accounts, folders, uids, folders, st.booleans(), quotas, quotas),
    st.builds(t.Replace, accounts, folders, rows, messages, folders, quotas, quotas, st.booleans()),
    st.builds(
        t.SetFlags, accounts, folders, uids, st.sampled_from(FlagChange), flags, keywords,
        st.none() | st.integers(1, 30), grantees,
    ),
    st.builds(t.Expunge, accounts, folders, uids, st.booleans()),
    st.builds(t.BeginCopy, accounts, folders, folders, slices),
    st.builds(t.StageCopy, accounts, copies, uids),
    st.builds(t.StageCopy, accounts, copies, uids),
    st.builds(t.FinishCopy, accounts, copies, quotas),
    st.builds(t.DropCopy, accounts, copies),
    st.builds(t.Undelete, accounts, uids, folders, quotas),
    st.builds(t.Collect, accounts, times, slices, times),
    st.builds(t.Expire, accounts, folders, times, slices, st.booleans()),
    st.builds(t.PruneTombstones, accounts, st.integers(0, 40), st.just(1000)),
    st.builds(t.SetHold, accounts, st.booleans()),
    st.builds(t.SetRole, accounts, folders, st.sampled_from(["", "\\Sent", "\\Archive"])),
    st.builds(t.SetRights, accounts, folders, grantees, st.sampled_from(["", "lr", "a b"])),
    st.builds(
        lambda account, folder, owner, entries: t.Annotate(account, folder, owner, tuple(entries.items())),
        accounts, st.sampled_from([0, 1, 7]), grantees,
        st.dictionaries(st.sampled_from(["/a", "/B", "c"]), st.none() | data, max_size=2),
    ),
    st.builds(
        t.PutThing, accounts, st.sampled_from(["sieve", "a/b"]), st.sampled_from(["x", "y"]), st.none() | data,
        st.none() | st.sampled_from([0, 14]),
    ),
    st.builds(t.CreateMailbox, accounts, names, st.sampled_from(["", "\\Archive"])),
    st.builds(t.DeleteMailbox, accounts, folders, st.booleans()),
    st.builds(t.RenameMailbox, accounts, folders, names),
    st.builds(t.Subscribe, accounts, names, st.booleans()),
    st.builds(t.TouchRecent, accounts, folders),
    st.builds(t.Release, accounts, st.booleans()),
    st.builds(t.Reinstate, accounts.map(lambda account: released(account, 1)), accounts),
    st.builds(t.Claim, st.just(EVERY_LANE), st.integers(NOON, NOON + 20), st.just(9), st.integers(1, 3)),
    st.builds(t.FreeClaims, st.just(EVERY_LANE)),
    st.builds(t.Renew, rows, epochs, st.just(NOON), st.just(30)),
    st.builds(t.Settle, settlements.map(tuple)),
    st.builds(t.Administer, st.lists(rows, max_size=2).map(tuple), st.sampled_from(QueueAdmin), st.just(NOON)),
)  # fmt: skip
