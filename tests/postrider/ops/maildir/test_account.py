"""An account's Maildir is what the database says, whoever was at work in it, and over restarts."""

import random
import re
import shutil
from contextlib import suppress

import pytest
from stored import body_of

from postrider.ops.exchange import names
from postrider.ops.maildir.account import clear
from postrider.store import transactions as t
from postrider.store.transactions import StoreError
from postrider.store.values import Flag, account_of

ALICE = account_of("default", "alice@one.test")
INBOX, SENT = 1, 2


def append(mailbox_id, *bodies, **fields):
    return t.Append(
        ALICE, mailbox_id, tuple(t.NewMessage(body_of(data), 1_700_000_000, b"", **fields) for data in bodies)
    )


def letter(number):
    return b"Subject: %d\r\n\r\nHello.\r\n" % number


def listed(where):
    return sorted(f"{part}/{path.name}" for part in ("cur", "new") for path in (where / part).iterdir())


def set_flags(uids, flags, keywords=(), mailbox_id=INBOX):
    return t.SetFlags(ALICE, mailbox_id, tuple(uids), t.FlagChange.REPLACE, flags, tuple(keywords))


async def agrees(site):
    """Python's reader finds in the directories what is in the database."""
    kept = await site.kept()
    shown = site.shown()
    assert {names.plus_entry(name).removeprefix(".") or name: messages for name, messages in kept.items()} == shown


async def test_a_look_may_come_before_the_first_full_pass(site, monkeypatch):
    """There is no directory of the account yet, and no account: who reads in the background opens none."""
    monkeypatch.setattr(site.reader, "_ensure", None)
    assert await site.look()
    assert set(site.shown()) == {"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"}


async def test_names_say_what_other_programs_want_to_know(site):
    await site.commit(append(INBOX, letter(1), letter(2), letter(3)))
    await site.commit(set_flags([2], Flag.SEEN | Flag.ANSWERED, ["$Forwarded", "urgent"]))
    await site.commit(set_flags([3], Flag.FLAGGED))
    await site.keeping.follow()
    pattern = r"{}/1700000000\.V\d+U{}\.postrider-\d+,S=22,W=22{}"
    first, second, third = (await site.reader.mailbox(ALICE, INBOX), *listed(site.root))[1:]
    assert re.fullmatch(pattern.format("cur", 2, ":2,PRSa"), first)
    assert re.fullmatch(pattern.format("cur", 3, ":2,F"), second)
    assert re.fullmatch(pattern.format("new", 1, ""), third)
    assert (site.root / "dovecot-keywords").read_text() == "0 urgent\n"
    assert not [path for path in site.root.rglob("*") if path.stat().st_mode & 0o077]
    assert {int(path.stat().st_mtime) for path in (site.root / "cur").iterdir()} == {1_700_000_000}
    assert "Sent" in (site.root / "subscriptions").read_text()
    assert (site.root / ".Sent/maildirfolder").exists()
    await agrees(site)


async def test_changes_are_shown_one_by_one(site):
    await site.keeping.follow()
    await site.commit(append(INBOX, *map(letter, range(5))))
    steps = [
        set_flags([1, 2], Flag.SEEN),
        set_flags([2], 0),
        t.Copy(ALICE, INBOX, (1, 3), SENT),
        t.Copy(ALICE, INBOX, (4,), SENT, move=True),
        set_flags([5], Flag.DELETED),
        t.Expunge(ALICE, INBOX, (5,)),
        t.CreateMailbox(ALICE, "Projekte/Käse & Wein"),
        t.Copy(ALICE, INBOX, (1,), 8, move=True),
        t.RenameMailbox(ALICE, 7, "Done"),
        t.RenameMailbox(ALICE, INBOX, "Old"),
        t.DeleteMailbox(ALICE, SENT),
        t.Subscribe(ALICE, "Done", True),
    ]
    for step in steps:
        await site.commit(step)
        await site.keeping.follow()
        await agrees(site)
    assert "Done" in (site.root / "subscriptions").read_text().split("\n")
    assert (site.root / ".Done.K&AOQ-se &- Wein/cur").is_dir()


async def test_what_other_programs_remove_or_rename_is_put_back(site):
    await site.commit(append(INBOX, *map(letter, range(4))))
    await site.commit(append(SENT, letter(9)))
    await site.keeping.follow()
    before = listed(site.root), listed(site.root / ".Sent")
    first, second, third, _ = sorted((site.root / "new").iterdir())
    first.unlink()
    second.rename(site.root / "cur" / f"{second.name}:2,S")  # as a program does that shows it
    third.rename(site.root / ".Sent/cur" / third.name)
    shutil.rmtree(site.root / ".Trash")
    (site.root / ".Junk").rename(site.root / ".Spam")
    assert await site.look()
    assert (listed(site.root), listed(site.root / ".Sent")) == before
    assert (site.root / ".Trash/cur").is_dir()
    assert (site.root / ".Junk/cur").is_dir()
    assert not (site.root / ".Spam").exists()
    await agrees(site)
    await site.look()
    assert not await site.look()


@pytest.mark.parametrize("gone", ["new", "cur", "."])
async def test_a_directory_that_is_gone_comes_back(site, gone):
    await site.commit(append(SENT, letter(1)))
    await site.keeping.follow()
    shutil.rmtree(site.root / ".Sent" / gone)
    await site.look()
    await agrees(site)


async def test_a_full_pass_finds_what_happened_meanwhile(site):
    await site.commit(append(INBOX, *map(letter, range(4))))
    await site.commit(t.CreateMailbox(ALICE, "Gone"))
    await site.commit(t.CreateMailbox(ALICE, "Here"))
    await site.commit(append(7, letter(7)))
    await site.commit(append(8, letter(8)))
    await site.keeping.follow()
    await site.commit(set_flags([1], Flag.DELETED))
    await site.commit(t.Expunge(ALICE, INBOX, (1,)))
    await site.commit(set_flags([2], Flag.SEEN))
    await site.commit(t.DeleteMailbox(ALICE, 7))
    await site.commit(t.RenameMailbox(ALICE, 8, "There"))
    site.restart()
    await site.keeping.follow()
    await agrees(site)
    assert not (site.root / ".Gone").exists()
    assert not (site.root / ".Here").exists()


async def test_a_folder_has_letters_for_26_keywords_and_the_27th_has_none(site):
    await site.commit(append(INBOX, letter(1)))
    await site.commit(set_flags([1], 0, [f"word{n:02}" for n in range(27)]))
    await site.keeping.follow()
    (path,) = listed(site.root)
    assert path.endswith(":2,abcdefghijklmnopqrstuvwxyz")


async def test_a_folder_whose_directory_would_have_too_long_a_name_is_not_shown(site):
    await site.commit(t.CreateMailbox(ALICE, "x" * 300))
    await site.keeping.follow()
    assert "x" * 300 in await site.folders()
    assert "Sent" in site.shown()


async def test_of_an_account_that_is_gone_only_what_is_not_ours_stays(site):
    await site.commit(append(INBOX, letter(1)))
    await site.commit(append(SENT, letter(2)))
    await site.keeping.follow()
    bodies = sorted((site.root / "bodies").iterdir())
    dropped = site.drop(b"Subject: x\n\n", ".Sent/new/1.mine")
    clear(site.root)
    assert listed(site.root) == []
    assert listed(site.root / ".Sent") == ["new/1.mine"]
    assert dropped.exists()
    assert sorted((site.root / "bodies").iterdir()) == bodies
    assert not (site.root / ".Trash").exists()
    for left in (*bodies, dropped):
        left.unlink()
    clear(site.root)
    assert not site.root.exists()  # gone for good


async def test_whatever_happens_the_maildir_follows(site):
    luck = random.Random(5)
    number = 0
    for round_ in range(60):
        folders = list((await site.folders()).values())
        for _ in range(luck.randrange(4)):
            one, other = luck.choice(folders), luck.choice(folders)
            uids = list(await site.reader.uids(ALICE, one.id))
            some = tuple(sorted(luck.sample(uids, min(len(uids), 3))))
            number += 1
            steps = [
                append(one.id, *[letter(number * 10 + n) for n in range(luck.randrange(1, 4))]),
                set_flags(some, luck.randrange(32), luck.sample(["a", "b", "$Forwarded"], luck.randrange(3)), one.id),
                t.Copy(ALICE, one.id, some, other.id, move=luck.random() < 0.5),
                t.Expunge(ALICE, one.id, some),
                t.CreateMailbox(ALICE, f"{luck.choice(folders).name}/n{number}"),
                t.RenameMailbox(ALICE, one.id, f"r{luck.randrange(5)}"),
                t.DeleteMailbox(ALICE, one.id),
            ]
            with suppress(StoreError):
                await site.commit(luck.choices(steps, [5, 5, 4, 3, 1, 1, 1])[0])
        meddle(site.root, luck)
        if round_ % 10 == 9:
            site.restart()
        await site.keeping.follow()
        while await site.look():
            pass
        await agrees(site)


def meddle(root, luck):
    """As other programs do that think the Maildir is theirs alone."""
    links = sorted(path for part in ("cur", "new") for path in root.glob(f"**/{part}/*"))
    for path in luck.sample(links, min(len(links), luck.randrange(3))):
        match luck.randrange(3):
            case 0:
                path.unlink()
            case 1:
                path.rename(path.parent.parent / "cur" / f"{path.name.partition(':')[0]}:2,ST")
            case _:
                path.rename(luck.choice(links).parent / path.name)
