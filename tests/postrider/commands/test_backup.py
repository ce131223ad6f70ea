"""`backup list` as somebody at a terminal sees it."""

from typer.testing import CliRunner

from postrider.__main__ import app


def test_a_place_without_backups_is_told_from_a_short_list(tmp_path):
    done = CliRunner().invoke(app, ["backup", "list", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"there is no finished backup in {tmp_path}\n"


def test_a_backup_that_does_not_say_what_it_is_hides_no_other(tmp_path):
    manifest = tmp_path / "20261121T191500Z" / "manifest.json"
    manifest.parent.mkdir()
    manifest.write_bytes(b"{")
    done = CliRunner().invoke(app, ["backup", "list", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (0, "20261121T191500Z  damaged: verify says what is wrong\n")
