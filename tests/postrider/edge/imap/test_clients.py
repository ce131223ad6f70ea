"""The whole protocol, as imapclient speaks it."""

from __future__ import annotations

from datetime import UTC, datetime

import imapclient

MESSAGE = (
    b"From: Carol <carol@example.net>\r\nTo: alice@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from here\r\n"
    b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@example.net>\r\n\r\nHello Alice\r\n"
)


async def test_append_fetch_search_store_move_expunge(with_client, site):
    def work(client: imapclient.IMAPClient) -> None:
        moment = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
        assert b"APPENDUID" in client.append("INBOX", MESSAGE, (b"\\Flagged", b"$Work"), moment)
        client.append("INBOX", MESSAGE.replace(b"Alice", b"Bob"))
        opened = client.select_folder("INBOX")
        assert opened[b"EXISTS"] == 2
        assert opened[b"RECENT"] == 2
        assert opened[b"UIDNEXT"] == 3
        found = client.fetch(
            [1, 2], ["FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODYSTRUCTURE", "BODY.PEEK[]", "MODSEQ"]
        )
        assert found[1][b"BODY[]"] == MESSAGE
        assert set(found[1][b"FLAGS"]) == {b"\\Flagged", b"$Work", b"\\Recent"}
        assert found[1][b"RFC822.SIZE"] == len(MESSAGE)
        assert found[1][b"ENVELOPE"].subject == b"=?utf-8?q?Gr=C3=BC=C3=9Fe?= from here"
        assert found[1][b"INTERNALDATE"].astimezone(UTC) == moment
        assert client.search(["SUBJECT", "grüße"], charset="UTF-8") == [1, 2]
        assert client.search(["BODY", "hello bob"]) == [2]
        assert client.search(["FLAGGED"]) == [1]
        assert client.search(["NOT", "FLAGGED"]) == [2]
        assert set(client.add_flags([1], [imapclient.SEEN])[1]) == {b"\\Flagged", b"\\Seen", b"$Work", b"\\Recent"}
        client.copy([1], "Archive")
        client.move([2], "Trash")
        assert client.search() == [1]
        client.delete_messages([1])
        client.expunge()
        assert client.search() == []
        assert client.folder_status("Archive", ["MESSAGES", "UNSEEN"]) == {b"MESSAGES": 1, b"UNSEEN": 0}
        client.select_folder("Trash", readonly=True)
        assert client.fetch([1], ["BODY[TEXT]"])[1][b"BODY[TEXT]"] == b"Hello Bob\r\n"

    await with_client(work)


async def test_folders(with_client):
    def work(client: imapclient.IMAPClient) -> None:
        names = {name: flags for flags, _, name in client.list_folders()}
        assert set(names) == {"INBOX", "Sent", "Drafts", "Trash", "Junk", "Archive"}
        assert b"\\Sent" in names["Sent"]
        assert client.find_special_folder(b"\\Trash") == "Trash"
        client.create_folder("Prüfung/Ж & co")
        assert client.folder_exists("Prüfung/Ж & co")
        client.rename_folder("Prüfung", "Exam")
        assert client.folder_exists("Exam/Ж & co")
        client.subscribe_folder("Exam")
        assert "Exam" in {name for _, _, name in client.list_sub_folders()}
        client.delete_folder("Exam/Ж & co")
        assert not client.folder_exists("Exam/Ж & co")
        assert client.namespace().personal == (("", "/"),)
        assert b"Postrider" in client.id_({"name": "test"})[0]

    await with_client(work)
