"""What lies in directories that other programs made, as it is read."""

import mailbox
import os

import pytest

from postrider.ops.exchange import formats
from postrider.ops.exchange.formats import Format
from postrider.ops.exchange.sources import NotMail
from postrider.store.values import Flag

NOON = 1230811200
LETTER = b"Subject: %b\n\nFrom me\n>From you\n"
FROM = b"From alice@one.test Thu Jan  1 12:00:00 2009\n"


def read(path, chosen=None, complaints=None):
    """{folder: [(octets, flags, keywords, received)]} of a source."""
    source = formats.source(path, (complaints if complaints is not None else []).append, chosen)
    return {
        folder: [(b"".join(one.pieces), one.flags, one.keywords, one.received) for one in source.letters(folder)]
        for folder in source.folders
    }


def put(box, name, flags="", date=NOON):
    message = mailbox.MaildirMessage(LETTER % name)
    if flags is not None:
        message.set_subdir("cur")
        message.set_flags(flags)
    message.set_date(date)
    return box.add(message)


@pytest.fixture
def maildir(tmp_path):
    return mailbox.Maildir(tmp_path / "Maildir")


def test_a_maildir_of_pythons(maildir, tmp_path):
    put(maildir, b"new", None)
    put(maildir.add_folder("Work"), b"read", "FS")
    put(maildir.add_folder("Work.2026"), b"deleted", "PRT", NOON + 1)
    maildir.add_folder("Entw&APw-rfe")
    assert read(tmp_path / "Maildir") == {
        "Entwürfe": [],
        "INBOX": [(LETTER % b"new", 0, (), NOON)],
        "Work": [(LETTER % b"read", Flag.FLAGGED | Flag.SEEN, (), NOON)],
        "Work/2026": [(LETTER % b"deleted", Flag.ANSWERED | Flag.DELETED, ("$Forwarded",), NOON + 1)],
    }


def test_a_tree_of_maildirs_as_mbsync_and_dovecot_make(tmp_path):
    for place in ("INBOX", "Work", "Work/2026", "Work/.legacy"):
        put(mailbox.Maildir(tmp_path / place), place.encode())
    assert sorted(read(tmp_path)) == ["INBOX", "Work", "Work/2026", "Work/legacy"]


def test_dovecots_keywords_and_subscriptions(maildir, tmp_path):
    root = tmp_path / "Maildir"
    put(maildir, b"x", "S")
    (root / "dovecot-keywords").write_text("0 $Label1\n1 Work\n")
    [path] = (root / "cur").iterdir()
    path.rename(f"{path}b")
    (root / "subscriptions").write_text("V\t2\n\nWork\t2026\nEntw&APw-rfe\n")
    assert [keywords for _, _, keywords, _ in read(root)["INBOX"]] == [("Work",)]
    assert formats.source(root, print).subscribed == ["Work/2026", "Entwürfe"]


def test_messages_come_in_the_order_they_arrived(tmp_path):
    (tmp_path / "cur").mkdir()
    for number in (900, 1000, 10):
        (tmp_path / "cur" / f"{number}.x.host:2,").write_bytes(b"Subject: %d\n\n" % number)
    assert [octets for octets, *_ in read(tmp_path)["INBOX"]] == [b"Subject: %d\n\n" % n for n in (10, 900, 1000)]


def test_a_message_that_gets_another_name_meanwhile_is_found(maildir, tmp_path, monkeypatch):
    monkeypatch.setattr("postrider.ops.exchange.sources.AHEAD", 1)
    for name in (b"a", b"b", b"c"):
        put(maildir, name)
    complaints = []
    source = formats.source(tmp_path / "Maildir", complaints.append)
    letters = source.letters("INBOX")
    found = [b"".join(next(letters).pieces)]
    _, second, third = sorted((tmp_path / "Maildir" / "cur").iterdir())
    second.rename(f"{second}S")
    third.unlink()
    found += [(b"".join(one.pieces), one.flags) for one in letters]
    assert found[1:] == [(LETTER % b"b", Flag.SEEN)]
    assert len(complaints) == 1
    assert "is gone" in complaints[0]


def test_an_mbox_of_pythons(tmp_path):
    box = mailbox.mbox(tmp_path / "mbox")
    for flags in ("", "RO", "ROAFDT"):
        message = mailbox.mboxMessage(b"Subject: x\n\nFrom me\n")
        message.set_from("alice@one.test Thu Jan  1 12:00:00 2009")
        message.set_flags(flags)
        box.add(message)
    box.flush()
    everything = Flag.SEEN | Flag.ANSWERED | Flag.FLAGGED | Flag.DELETED | Flag.DRAFT
    text = b"Subject: x\n\nFrom me\n"
    assert read(tmp_path / "mbox") == {
        "INBOX": [(text, 0, (), NOON), (text, Flag.SEEN, (), NOON), (text, everything, (), NOON)]
    }
    [first, *_] = read(tmp_path / "mbox", Format.MBOXO)["INBOX"]
    assert first[0] == b"Subject: x\n\n>From me\n"


def test_trees_of_mbox_files(tmp_path):
    file = FROM + b"Subject: x\n\n"
    for name in ("INBOX.mbox", "Work", "Work.sbd/2026", "Apple.mbox/mbox", "Sent", "notes.txt", "Work.msf", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(file if name not in ("Sent", "notes.txt", "Work.msf") else b"")
    (tmp_path / "notes.txt").write_bytes(b"From me to you\n")
    found = read(tmp_path)
    assert sorted(found) == ["Apple", "INBOX", "Sent", "Work", "Work/2026", "notes.txt"]
    assert found["Sent"] == []


def test_what_thunderbird_deleted_stays_deleted(tmp_path):
    (tmp_path / "mbox").write_bytes(
        FROM + b"X-Mozilla-Status: 0008\n\ngone\n\n" + FROM + b"X-Mozilla-Status: 0001\n\nthere\n\n"
    )
    assert read(tmp_path / "mbox") == {"INBOX": [(b"\nthere\n", Flag.SEEN, (), NOON)]}


def test_only_the_first_message_of_a_file_may_be_uw_imaps_notes(tmp_path):
    mark, rest = b"X-IMAP: 1 2\n", b"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n\nx\n"
    (tmp_path / "mbox").write_bytes(2 * (FROM + mark + rest + b"\n"))
    assert read(tmp_path / "mbox") == {"INBOX": [(rest, 0, (), NOON)]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"X-Mozilla-Status: 0000\n", b"X-Mozilla-Status: 0001\nX-Mozilla-Keys: Work      \n"),
        (b"", b"X-IMAPbase: 1230811200 7\nX-UID: 1\nStatus: O\nX-Status: F\n"),
        (b"X-IMAPbase: 1230811200 7\nStatus: O\n", b"X-IMAPbase: 1230811200 9 Work\nStatus: RO\nX-Keywords: Work\n"),
    ],
)
def test_what_programs_note_about_a_message_makes_it_no_other(tmp_path, before, after):
    """So that an import that is begun anew knows it."""
    found = []
    for noted in (before, after):
        (tmp_path / "mbox").write_bytes(FROM + noted + b"Subject: x\n\ntext\n")
        found += [content for content, *_ in read(tmp_path / "mbox")["INBOX"]]
    assert found == [b"Subject: x\n\ntext\n"] * 2


@pytest.mark.parametrize("chosen", [Format.MAILDIR, Format.EML, Format.MBOX])
def test_links_and_pipes_are_neither_followed_nor_waited_for(tmp_path, chosen):
    """Whoever imports may read more than the owner of what is imported."""
    secret, box = tmp_path / "secret", tmp_path / "box" / "cur"
    secret.write_bytes(FROM + b"Subject: secret\n\n")
    box.mkdir(parents=True)
    (box / "link.eml").symlink_to(secret)
    (box / "nowhere.eml").symlink_to(tmp_path / "nowhere")
    os.mkfifo(box / "pipe.eml")
    (box / "mail.eml").write_bytes(FROM + b"Subject: x\n\n")
    complaints = []
    [letters] = read(tmp_path / "box", chosen, complaints).values()
    assert len(letters) == 1
    assert b"secret" not in letters[0][0]
    assert any(str(box / "link.eml") in text for text in complaints)


def test_large_messages_come_in_pieces(tmp_path):
    large = b"Subject: large\n\n" + b"line\n" * 700_000
    (tmp_path / "mbox").write_bytes(FROM + large + b"\n" + FROM + b"Subject: x\n\n\n")
    sizes = []
    for letter in formats.source(tmp_path / "mbox", print).letters("INBOX"):
        pieces = list(map(len, letter.pieces))
        sizes.append((sum(pieces), max(pieces) < 2**20))
    assert sizes == [(len(large), True), (12, True)]


def test_letters_that_nobody_reads_do_not_disturb_the_next(tmp_path):
    (tmp_path / "mbox").write_bytes(b"".join(FROM + b"Subject: %d\n\ntext\n\n" % n for n in range(3)))
    letters = formats.source(tmp_path / "mbox", print).letters("INBOX")
    assert [(letter.name, letter.received) for letter in letters] == [(FROM.strip(), NOON)] * 3


def test_a_tree_of_eml_files(tmp_path):
    (tmp_path / "Work").mkdir()
    (tmp_path / "a.EML").write_bytes(b"Date: Thu, 1 Jan 2009 12:00:00 +0000\r\n\r\nx\r\n")
    (tmp_path / "Work" / "b.eml").write_bytes(b"Subject: no date\n\n")
    os.utime(tmp_path / "Work" / "b.eml", (NOON + 5, NOON + 5))
    assert read(tmp_path) == {
        "INBOX": [(b"Date: Thu, 1 Jan 2009 12:00:00 +0000\r\n\r\nx\r\n", 0, (), NOON)],
        "Work": [(b"Subject: no date\n\n", 0, (), NOON + 5)],
    }
    assert len(read(tmp_path / "a.EML")["INBOX"]) == 1


@pytest.mark.parametrize("chosen", [None, *Format])
def test_what_is_no_mail_is_said_to_be_none(tmp_path, chosen):
    (tmp_path / "holiday.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(NotMail, match=str(tmp_path)):
        formats.source(tmp_path, print, chosen)
    with pytest.raises(NotMail, match="no such file"):
        formats.source(tmp_path / "missing", print, chosen)
