"""Into a store and out again: nothing twice, nothing lost, nothing changed."""

import io
import mailbox

import pytest
from stored import StillClock

from postrider.mailbox.actions import Actions, Allowance
from postrider.ops.exchange import formats, importer
from postrider.ops.exchange.exporter import Export
from postrider.ops.exchange.formats import TARGETS, Choice, Format
from postrider.ops.exchange.importer import Import, Wishes
from postrider.ops.exchange.progress import Progress
from postrider.store import open as stores
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account, Flag

ALICE, BOB = Account("default/alice@one.test"), Account("default/bob@one.test")
NOON = 1230811200
FROM = b"From alice@one.test Thu Jan  1 12:00:00 2009\n"
LARGE = b"Subject: large\n\n" + b"From here on it is long\n>From there too\n" * 30_000
FORMATS = [
    (Format.MAILDIR, Choice()),
    (Format.MAILDIR, Choice(tree=True, crlf=True)),
    (Format.MBOX, Choice()),
    (Format.MBOX, Choice(crlf=True)),
    (Format.EML, Choice()),
]


@pytest.fixture
async def store(tmp_path):
    store = stores.open_local(tmp_path / "data", stores.Options(allow_tmpfs=True, measure_sync=False, wait=0))
    (tmp_path / "spool").mkdir()
    yield store
    await store.close()


class Desk:
    """Imports into and exports from one store."""

    def __init__(self, store, tmp_path):
        self.store, self.spool = store, tmp_path / "spool"
        self.said = io.StringIO()

    def job(self, path, account=ALICE, *, quota=0, **wishes):
        progress = Progress(self.said, StillClock())
        source = formats.source(path, progress.complain)
        actions = Actions(self.store.writer, account, Allowance(quota))
        place = importer.Account(actions, self.store.reader, StillClock(), self.spool)
        return Import(source, place, progress, Wishes(**wishes))

    async def take(self, path, account=ALICE, **wishes):
        done = await self.job(path, account, **wishes).run()
        assert not list(self.spool.iterdir())
        return done.stored, done.known

    async def give(self, path, chosen, choice, account=ALICE, wanted=lambda _: True):
        progress = Progress(self.said, StillClock())
        done = await Export(self.store.reader, account, TARGETS[chosen](path, choice), progress).run(wanted)
        return done.written, done.known, done.failed

    async def state(self, account=ALICE):
        """{folder: [(octets, flags, keywords, received)]} in the order of UIDs, folders with something alone."""
        reader, found = self.store.reader, {}
        for row in await reader.mailboxes(account):
            uids = await reader.uids(account, row.id)
            rows = await reader.messages(account, row.id, uids)
            if rows:
                found[row.name] = [
                    (one.prefix + await reader.body(account, one.blob), one.flags, one.keywords, one.received)
                    for one in rows
                ]
        return found


@pytest.fixture
def desk(store, tmp_path):
    return Desk(store, tmp_path)


@pytest.fixture
def maildir(tmp_path):
    """A Maildir with all sorts of things in it."""
    root = tmp_path / "Maildir"
    box = mailbox.Maildir(root)
    for name, flags, text in [
        (None, None, b"Subject: new\n\nFrom me\n>From you\n>>From them\n\n\n"),
        (None, "FS", b"no header, no end of line"),
        (None, "S", LARGE),
        ("Sent Items", "RS", b"Status: RO\nX-Keywords: own\nSubject: own\n\n"),
        ("Work.2026", "T", b" folded: start\nSubject: x\n\nx\n"),
        ("Entw&APw-rfe", "D", "Subject: ä\n\nö\n".encode()),
        ("R&-D", "", b"\n"),
    ]:
        message = mailbox.MaildirMessage()
        if flags is not None:
            message.set_subdir("cur")
            message.set_flags(flags)
        message.set_date(NOON + len(text))
        folder = box.add_folder(name) if name else box
        key = folder.add(message)
        (next((root / (f".{name}" if name else "")).glob(f"*/{key}*"))).write_bytes(text)
    for path in list((root / ".Work.2026" / "cur").iterdir()):
        path.rename(f"{path}a")
    (root / ".Work.2026" / "dovecot-keywords").write_text("0 $Label1\n")
    (root / "subscriptions").write_text("Work.2026\n")
    return root


async def test_a_maildir_becomes_an_account(desk, maildir):
    assert await desk.take(maildir) == (7, 0)
    state = await desk.state()
    assert set(state) == {"INBOX", "Sent", "Work/2026", "Entwürfe", "R&D"}
    [[octets, flags, keywords, _]] = state["Work/2026"]
    assert octets == b" folded: start\r\nSubject: x\r\n\r\nx\r\n"
    assert (flags, keywords) == (Flag.DELETED, ("$Label1",))
    assert max(len(octets) for octets, *_ in state["INBOX"]) == len(LARGE) + LARGE.count(b"\n")
    assert {flags for _, flags, *_ in state["INBOX"]} == {0, Flag.SEEN, Flag.SEEN | Flag.FLAGGED}
    rows = {row.name: row for row in await desk.store.reader.mailboxes(ALICE)}
    assert rows["Work/2026"].subscribed
    assert not rows["R&D"].subscribed


@pytest.mark.parametrize(("chosen", "choice"), FORMATS, ids=str)
async def test_an_account_comes_back_as_it_was(desk, maildir, tmp_path, chosen, choice):
    await desk.take(maildir)
    before = await desk.state()
    out = tmp_path / "out"
    assert await desk.give(out, chosen, choice) == (7, 0, 0)
    assert await desk.give(out, chosen, choice) == (0, 7, 0)
    assert await desk.take(out, BOB) == (7, 0)
    after = await desk.state(BOB)
    if chosen is Format.MBOX:  # the one thing this format cannot say: a message whose last line has no end
        before["INBOX"] = [(_ended(octets), *rest) for octets, *rest in before["INBOX"]]
    assert {name: sorted(rows) for name, rows in after.items()} == {name: sorted(rows) for name, rows in before.items()}


def _ended(octets):
    return octets if octets.endswith(b"\r\n") else octets + b"\r\n"


@pytest.mark.parametrize(("chosen", "choice"), FORMATS[::2], ids=str)
async def test_begun_anew_it_stores_nothing_twice(desk, maildir, tmp_path, chosen, choice):
    await desk.take(maildir)
    await desk.give(tmp_path / "out", chosen, choice)
    await desk.take(tmp_path / "out", BOB)
    once = await desk.state(BOB)
    assert await desk.take(tmp_path / "out", BOB) == (0, 7)
    assert await desk.state(BOB) == once


async def test_what_is_new_in_the_source_comes_too(desk, maildir):
    await desk.take(maildir)
    (maildir / "new" / "1900000000.x.host").write_bytes(b"Subject: later\n\n")
    for path in list((maildir / "new").iterdir()):  # and what was there is read by now
        path.rename(maildir / "cur" / f"{path.name}:2,S")
    assert await desk.take(maildir) == (1, 7)


async def test_messages_that_are_the_same_are_all_kept(desk, tmp_path):
    (tmp_path / "mbox").write_bytes((FROM + b"Subject: x\n\nx\n\n") * 3)
    assert await desk.take(tmp_path / "mbox") == (3, 0)
    assert await desk.take(tmp_path / "mbox") == (0, 3)
    assert await desk.take(tmp_path / "mbox", label="once more") == (3, 0)


async def test_an_mbox_that_was_rewritten_brings_what_is_new(desk, tmp_path):
    one, two, three = (FROM + b"Status: O\nSubject: %d\n\nx\n\n" % number for number in range(3))
    (tmp_path / "mbox").write_bytes(one + two)
    await desk.take(tmp_path / "mbox")
    (tmp_path / "mbox").write_bytes(two.replace(b"Status: O", b"Status: RO") + three)
    assert await desk.take(tmp_path / "mbox") == (1, 1)


async def test_a_folder_that_was_removed_is_imported_again(desk, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "Work.mbox").write_bytes(FROM + b"Subject: x\n\nx\n\n")
    await desk.take(tmp_path / "in")
    [row] = [row for row in await desk.store.reader.mailboxes(ALICE) if row.name == "Work"]
    await Actions(desk.store.writer, ALICE).delete(row.id)
    assert await desk.take(tmp_path / "in") == (1, 0)


async def test_below_a_folder(desk, maildir):
    await desk.take(maildir, into="Old/Maildir")
    assert set(await desk.state()) == {
        f"Old/Maildir{name}" for name in ("", "/Sent Items", "/Work/2026", "/Entwürfe", "/R&D")
    }


async def test_names_are_kept_where_that_is_wished(desk, maildir):
    await desk.take(maildir, keep_names=True)
    assert "Sent Items" in await desk.state()


async def test_over_quota_it_stops_and_goes_on_when_there_is_room(desk, tmp_path):
    (tmp_path / "mbox").write_bytes((FROM + b"Subject: x\n\n" + b"x" * 20_000 + b"\n\n") * 300)
    job = desk.job(tmp_path / "mbox", quota=4_000_000)
    with pytest.raises(StoreError) as refused:
        await job.run()
    assert refused.value.reason is Reason.OVER_QUOTA
    assert 0 < job.outcome.stored < 300
    assert len((await desk.state())["INBOX"]) == job.outcome.stored
    assert not list(desk.spool.iterdir())
    assert await desk.take(tmp_path / "mbox") == (300 - job.outcome.stored, job.outcome.stored)


async def test_a_folder_that_cannot_be_made_is_said(desk, tmp_path):
    deep = tmp_path / "in" / "/".join(["x" * 200] * 6)
    deep.mkdir(parents=True)
    (deep / "a.eml").write_bytes(b"Subject: deep\n\n")
    (tmp_path / "in" / "b.eml").write_bytes(b"Subject: b\n\n")
    (tmp_path / "in" / "c.eml").touch()
    done = await desk.job(tmp_path / "in").run()
    assert (done.stored, done.failed, done.empty) == (1, 1, 1)
    assert "is passed over: a folder's name has at most" in desk.said.getvalue()


async def test_a_damaged_message_is_said_and_the_others_are_exported(desk, maildir, tmp_path):
    await desk.take(maildir)
    [pack] = (tmp_path / "data" / "packs").glob("*")
    octets = pack.read_bytes()
    at = octets.index(b"no header")
    pack.write_bytes(octets[:at] + b"XX" + octets[at + 2 :])
    assert await desk.give(tmp_path / "out", Format.MAILDIR, Choice()) == (6, 0, 1)
    assert "is left out" in desk.said.getvalue()


async def test_some_folders_alone(desk, maildir, tmp_path):
    await desk.take(maildir)
    assert await desk.give(tmp_path / "out", Format.EML, Choice(), wanted=lambda name: name == "Sent") == (1, 0, 0)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["Sent"]
