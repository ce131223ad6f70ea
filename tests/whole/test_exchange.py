"""Import and export while a server runs, and somebody looks on."""

import mailbox
import subprocess
import sys


def tool(*arguments):
    command = [sys.executable, "-m", "postrider", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def test_mail_is_imported_and_exported_while_the_server_runs(shared, alice, tmp_path):
    source = mailbox.Maildir(tmp_path / "Maildir")
    message = mailbox.MaildirMessage(b"Subject: old\n\nGood evening.\n")
    message.set_subdir("cur")
    message.set_flags("FS")
    message.set_date(1230811200)
    source.add(message)
    source.add_folder("Work").add(b"Subject: large\n\n" + b"Good night.\n" * 50_000)
    data = shared.directory / "data"

    with shared.imap(alice) as client:
        client.select_folder("INBOX")
        client.idle()
        done = tool("import", tmp_path / "Maildir", alice, "--data", data)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("2 messages imported")
        assert (1, b"EXISTS") in client.idle_check(timeout=180)
        client.idle_done()
        [row] = client.fetch([1], ["FLAGS", "INTERNALDATE", "BODY.PEEK[]"]).values()
        assert set(row[b"FLAGS"]) - {b"\\Recent"} == {b"\\Seen", b"\\Flagged"}
        assert row[b"INTERNALDATE"].timestamp() == 1230811200
        assert row[b"BODY[]"] == b"Subject: old\r\n\r\nGood evening.\r\n"
        assert b"Work" in [name.encode() for _, _, name in client.list_sub_folders()]

    done = tool("export", alice, tmp_path / "out", "--data", data)
    assert (done.returncode, done.stderr) == (0, "")
    exported = mailbox.Maildir(tmp_path / "out", create=False)
    [message] = exported
    assert (message.as_bytes(), message.get_flags()) == (b"Subject: old\n\nGood evening.\n", "FS")
    [large] = exported.get_folder("Work")
    assert large.as_bytes() == b"Subject: large\n\n" + b"Good night.\n" * 50_000
