"""What is exported, as other programs read it; and what a run that was killed leaves."""

import mailbox

import pytest

from postrider.ops.exchange import targets
from postrider.ops.exchange.eml_files import EmlTarget
from postrider.ops.exchange.maildir_files import MaildirTarget
from postrider.ops.exchange.mbox_files import MboxTarget
from postrider.store.values import Blob, Flag, MailboxRow, MessageRow

NOON = 1230811200
MAIL = b"Return-Path: <alice@one.test>\r\nSubject: x\r\n\r\nFrom me\r\n>From you\r\n"


def folder(name="INBOX", uidvalidity=7):
    return MailboxRow(1, name, uidvalidity, 10, 1, 0, 0, 0, 0)


def row(uid, flags=0, keywords=(), mail=MAIL):
    return MessageRow(uid, 1, flags, keywords, len(mail), NOON, NOON, "M1", "T1", b"", Blob(1, len(mail)), b"")


def write(target, mailbox_row, *rows, mail=MAIL):
    place = target.folder(mailbox_row, print)
    missing = place.missing([one.uid for one in rows])
    for one in rows:
        if one.uid in missing:
            writing = place.begin(one)
            header = mail.index(b"\r\n\r\n") + 4
            writing.write(mail[:header])
            for at in range(header, len(mail), 7):
                writing.write(mail[at : at + 7])
            writing.finish()
    place.close()
    return list(missing)


def test_python_reads_the_maildir(tmp_path):
    target = MaildirTarget(tmp_path)
    write(target, folder(), row(1, Flag.SEEN | Flag.FLAGGED, ("Work", "$Forwarded")), row(2))
    write(target, folder("Work/2026"), row(1))
    target.subscribe(["INBOX", "Work/2026"])
    box = mailbox.Maildir(tmp_path, create=False)
    assert box.list_folders() == ["Work.2026"]
    first, second = sorted(box, key=lambda message: message.get_flags())[::-1]
    assert (first.get_flags(), second.get_flags()) == ("FPSa", "")
    assert first.get_date() == NOON
    assert first.as_bytes() == MAIL.replace(b"\r\n", b"\n")
    assert (tmp_path / "dovecot-keywords").read_text() == "0 Work\n"
    assert (tmp_path / "subscriptions").read_text() == "V\t2\n\nINBOX\nWork\t2026\n"
    [name] = [path.name for path in (tmp_path / "cur").iterdir() if "U2." in path.name]
    assert name == f"{NOON}.V7U2.postrider,S={len(MAIL) - 5},W={len(MAIL)}:2,"
    assert not list((tmp_path / "tmp").iterdir())
    assert (tmp_path / "cur").stat().st_mode & 0o077 == 0


def test_a_tree_of_maildirs(tmp_path):
    write(MaildirTarget(tmp_path, tree=True, crlf=True), folder("Work/2026"), row(1))
    [path] = (tmp_path / "Work" / "2026" / "cur").iterdir()
    assert path.read_bytes() == MAIL


def test_python_reads_the_mbox(tmp_path):
    write(MboxTarget(tmp_path), folder("Work/2026"), row(1, Flag.SEEN | Flag.FLAGGED, ("Work",)), row(2))
    first, second = mailbox.mbox(tmp_path / "Work" / "2026.mbox", create=False)
    assert (first.get_flags(), second.get_flags()) == ("ROF", "O")
    assert first["X-Keywords"] == "Work"
    assert first.get_from() == "alice@one.test Thu Jan  1 12:00:00 2009"
    assert first.get_payload() == ">From me\n>>From you\n"


def test_a_message_without_an_end_of_line_gets_one_in_mbox(tmp_path):
    target = MboxTarget(tmp_path)
    mail = b"Subject: x\r\n\r\nno end"
    write(target, folder(), row(1), row(2), mail=mail)
    assert len(mailbox.mbox(tmp_path / "INBOX.mbox", create=False)) == 2


def test_eml_files_are_as_they_are(tmp_path):
    write(EmlTarget(tmp_path), folder("R&D"), row(12, Flag.SEEN, ("Work",)))
    path = tmp_path / "R&D" / "7.12.eml"
    assert path.read_bytes() == MAIL
    assert path.stat().st_mtime == NOON
    assert (tmp_path / "R&D" / ".flags").read_text() == f"7.12.eml\t{NOON}\t\\Seen Work\n"


@pytest.mark.parametrize("target", [MaildirTarget, EmlTarget])
def test_what_is_there_is_not_written_again(tmp_path, target):
    assert write(target(tmp_path), folder(), row(1), row(2)) == [1, 2]
    assert write(target(tmp_path), folder(), row(1), row(2), row(3)) == [3]
    assert write(target(tmp_path), folder(uidvalidity=8), row(1)) == [1]


def test_a_file_that_is_not_as_long_as_its_name_says_is_written_again(tmp_path):
    write(MaildirTarget(tmp_path), folder(), row(1), row(2))
    [path] = [path for path in (tmp_path / "cur").iterdir() if "U2." in path.name]
    path.write_bytes(b"")
    assert write(MaildirTarget(tmp_path), folder(), row(1), row(2)) == [2]
    assert len(list((tmp_path / "cur").iterdir())) == 2


def test_an_mbox_goes_on_where_it_was_durable(tmp_path, monkeypatch):
    monkeypatch.setattr("postrider.ops.exchange.mbox_files._NOTE_EVERY", 1)
    whole = tmp_path / "whole"
    write(MboxTarget(whole), folder(), row(1), row(2), row(3))
    place = MboxTarget(tmp_path / "killed").folder(folder(), print)
    for uid in (1, 2):
        writing = place.begin(row(uid))
        writing.write(MAIL)
        writing.finish()
    place.begin(row(3)).write(MAIL[:60])  # and here it is killed
    place._file.flush()
    assert not (tmp_path / "killed" / "INBOX.mbox").exists()
    assert write(MboxTarget(tmp_path / "killed"), folder(), row(1), row(2), row(3)) == [3]
    assert (tmp_path / "killed" / "INBOX.mbox").read_bytes() == (whole / "INBOX.mbox").read_bytes()


def test_what_came_since_is_added_to_an_mbox_that_was_whole(tmp_path):
    write(MboxTarget(tmp_path / "once"), folder(), row(1), row(2), row(4))
    write(MboxTarget(tmp_path), folder(), row(1), row(2))
    write(MboxTarget(tmp_path), folder("Empty"))
    before = (tmp_path / "INBOX.mbox").stat()
    assert write(MboxTarget(tmp_path), folder(), row(1), row(2)) == []
    assert (tmp_path / "INBOX.mbox").stat() == before
    assert write(MboxTarget(tmp_path), folder(), row(1), row(2), row(4)) == [4]
    assert (tmp_path / "INBOX.mbox").read_bytes() == (tmp_path / "once" / "INBOX.mbox").read_bytes()
    assert write(MboxTarget(tmp_path), folder("Empty"), row(1)) == [1]


def test_an_mbox_that_somebody_changed_is_left_alone(tmp_path):
    write(MboxTarget(tmp_path), folder(), row(1))
    path = tmp_path / "INBOX.mbox"
    for uidvalidity, content in ((8, path.read_bytes()), (7, b"mine")):
        path.write_bytes(content)
        said = []
        place = MboxTarget(tmp_path).folder(folder(uidvalidity=uidvalidity), said.append)
        assert not place.missing([1, 2])
        place.close()
        assert said == [f"{path} is not as an export of this folder left it: nothing is added to it"]
        assert path.read_bytes() == content


@pytest.mark.parametrize("target", [MaildirTarget, MboxTarget, EmlTarget])
def test_nobody_else_may_read_what_is_written(tmp_path, target):
    targets.claim(tmp_path / "a" / "out", {})
    made = target(tmp_path / "a" / "out")
    write(made, folder("Work/2026"), row(1, 0, ("Work",)))
    made.subscribe(["Work/2026"])
    assert not [path for path in tmp_path.rglob("*") if path.stat().st_mode & 0o077]


@pytest.mark.parametrize("target", [MaildirTarget, MboxTarget, EmlTarget])
def test_a_message_that_cannot_be_read_leaves_nothing(tmp_path, target):
    place = target(tmp_path).folder(folder(), print)
    for uid in (1, 2):
        writing = place.begin(row(uid))
        writing.write(MAIL)
        (writing.finish if uid == 1 else writing.abort)()
    place.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name not in (".flags", ".INBOX.mbox.note")]
    assert len(files) == 1
    assert files[0].read_bytes().count(b"Subject: x") == 1


def test_more_keywords_than_letters_are_said(tmp_path):
    complaints = []
    place = MaildirTarget(tmp_path).folder(folder(), complaints.append)
    place.begin(row(1, 0, tuple(f"k{number}" for number in range(27)))).finish()
    assert complaints == ["INBOX: Maildir has 26 keywords a folder: k26 is left out"]


def test_a_directory_is_an_exports_own(tmp_path):
    export = {"account": "default/alice@one.test", "format": "maildir"}
    targets.claim(tmp_path / "out", export)
    targets.claim(tmp_path / "out", export)
    with pytest.raises(targets.NotOurs, match="another export"):
        targets.claim(tmp_path / "out", export | {"account": "default/bob@one.test"})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.jpg").touch()
    with pytest.raises(targets.NotOurs, match="not empty"):
        targets.claim(tmp_path / "mine", export)
