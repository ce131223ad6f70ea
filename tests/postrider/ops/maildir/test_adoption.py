"""What other programs drop into a Maildir becomes mail of the account, once, and nothing of it is lost."""

import mailbox
import os
import shutil

import pytest
from stored import body_of

from postrider.mailbox.actions import Allowance
from postrider.ops.exchange import importer
from postrider.ops.exchange.progress import Progress
from postrider.ops.maildir import adoption
from postrider.store import transactions as t
from postrider.store.values import Flag, account_of

ALICE = account_of("default", "alice@one.test")
INBOX = 1
TEXT = b"Subject: dropped\n\nHello.\n"
WIRE = TEXT.replace(b"\n", b"\r\n")


@pytest.fixture
async def site(site):
    await site.keeping.follow()
    return site


async def test_a_message_of_another_program_is_stored_and_shown_as_ours(site):
    box = mailbox.Maildir(site.root, create=False)
    box.add(TEXT)
    await site.look()
    assert (await site.kept())["INBOX"] == [(WIRE, 0)]
    assert site.shown()["INBOX"] == [(WIRE, 0)]
    (path,) = (site.root / "new").iterdir()
    assert ".postrider-" in path.name
    assert list((site.root / "cur").iterdir()) == []


async def test_flags_keywords_and_date_are_kept(site):
    (site.root / ".Sent/dovecot-keywords").write_text("0 urgent\n2 later\n")
    site.drop(TEXT, ".Sent/cur/1.x.host,S=25:2,FPSac")
    await site.look()
    (row,) = await site.reader.messages(ALICE, 2, [1])
    assert (row.flags, set(row.keywords)) == (Flag.FLAGGED | Flag.SEEN, {"$Forwarded", "urgent", "later"})
    assert row.received == 1_500_000_000
    assert [path.name.partition(":")[2] for path in (site.root / ".Sent/cur").iterdir()] == ["2,FPSac"]


async def test_a_directory_becomes_a_folder(site):
    site.drop(TEXT, ".Work.&ANw-bung/new/1.x")
    site.drop(TEXT, ".inbox/cur/1.y:2,S")
    for part in ("cur", "new", "tmp"):
        (site.root / ".Empty" / part).mkdir(parents=True)
    await site.look()
    kept = await site.kept()
    assert kept["Work/Übung"] == [(WIRE, 0)]
    assert kept["INBOX"] == [(WIRE, Flag.SEEN)]
    assert kept["Empty"] == []
    await site.look()
    assert site.shown()["Work.&ANw-bung"] == [(WIRE, 0)]
    assert not (site.root / ".inbox").exists()
    assert {"Work/Übung", "Empty"} <= set(await site.reader.subscriptions(ALICE))


async def test_what_may_still_be_written_is_left_for_later(site):
    site.clock.settled = False
    (site.root / "new/1.slow").write_bytes(TEXT[:5])
    assert await site.look()  # a directory that is never at rest is looked at too
    assert (await site.kept())["INBOX"] == []
    site.clock.settled = True
    (site.root / "new/1.slow").write_bytes(TEXT)
    assert await site.look()
    assert (await site.kept())["INBOX"] == [(WIRE, 0)]


async def test_links_directories_and_empty_files_are_left_alone(site, tmp_path):
    (tmp_path / "secret").write_bytes(TEXT)
    (site.root / "new/1.link").symlink_to(tmp_path / "secret")
    (site.root / "new/2.directory").mkdir()
    os.mkfifo(site.root / "new/3.pipe")
    (site.root / "new/4.empty").touch()
    (site.root / ".Elsewhere").symlink_to(site.root / ".Sent")
    await site.look()
    assert sum(map(len, (await site.kept()).values())) == 0
    assert len(list((site.root / "new").iterdir())) == 4
    assert "Elsewhere" not in await site.folders()


async def test_over_quota_it_stays_where_it_is_and_is_told(site):
    site.allowed = Allowance(quota_bytes=100)
    site.drop(TEXT, "new/1.small")
    large = site.drop(TEXT + b"x" * 200, "new/2.large")
    await site.look()
    assert (await site.kept())["INBOX"] == [(WIRE, 0)]
    (event,) = site.told()
    assert (event["file"], event["reason"]) == (str(large), "over-quota")
    await site.look()
    assert len(site.told()) == 1
    site.allowed = Allowance()
    site.clock.ahead += adoption.AGAIN
    await site.look()
    assert len((await site.kept())["INBOX"]) == 2
    assert not large.exists()


async def test_a_crash_between_storing_and_removing_stores_nothing_twice(site):
    path = site.drop(TEXT)
    status = path.stat()
    dropped = adoption.Dropped("new/1.dropped.host", status.st_ino, status.st_ctime_ns)
    drop = adoption.Drop("INBOX", site.root, [dropped])
    account = importer.Account(site.taking.actions(), site.reader, site.clock, site.taking.spool)
    wishes = importer.Wishes(keep_names=True, label=adoption.LABEL)
    await importer.Import(drop, account, Progress(site.log, site.clock), wishes).run()
    assert path.exists()
    site.restart()
    await site.keeping.follow()
    assert (await site.kept())["INBOX"] == [(WIRE, 0)]
    assert not path.exists()
    site.drop(TEXT)  # the same once more is meant to be there twice
    await site.look()
    assert len((await site.kept())["INBOX"]) == 2


async def test_a_copy_that_somebody_made_of_ours_is_mail_of_its_own(site):
    await site.commit(t.Append(ALICE, INBOX, (t.NewMessage(body_of(WIRE), 1, b""),)))
    await site.keeping.follow()
    (ours,) = (site.root / "new").iterdir()
    kept = site.root.parent / "backup"
    shutil.copy(ours, kept)
    await site.commit(t.SetFlags(ALICE, INBOX, (1,), t.FlagChange.ADD, Flag.DELETED))
    await site.commit(t.Expunge(ALICE, INBOX, (1,)))
    await site.keeping.follow()
    assert list((site.root / "cur").iterdir()) == []
    kept.rename(ours)  # from a backup of the files, under the name it had
    await site.look()
    assert (await site.kept())["INBOX"] == [(WIRE, 0)]
    assert site.shown()["INBOX"] == [(WIRE, 0)]


async def test_a_thousand_files_at_once(site):
    for number in range(1000):
        (site.root / "new" / f"{number}.many").write_bytes(b"Subject: %d\n\n" % number)
    await site.look()
    assert len((await site.kept())["INBOX"]) == 1000
    assert len(site.shown()["INBOX"]) == 1000
