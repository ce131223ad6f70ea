"""What a data directory keeps bodies in is decided once."""

from pathlib import Path

import pytest

from postrider.store import kind
from postrider.store.directory import CannotOpen
from postrider.store.open import open_local
from postrider.store.writer import Options


def test_a_fresh_directory_takes_what_is_wanted_and_keeps_it(tmp_path: Path) -> None:
    assert kind.decided(tmp_path / "new", "packs") == "packs"
    assert kind.decided(tmp_path / "new") == "packs"
    assert (tmp_path / "new" / "blobs").stat().st_mode & 0o777 == 0o600


def test_another_kind_than_the_directory_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("maildir\n")
    with pytest.raises(CannotOpen, match=r"keeps mail in maildir, and storage\.blobs says packs"):
        kind.decided(tmp_path, "packs")


async def test_directories_of_the_first_releases_have_packs(tmp_path: Path) -> None:
    await open_local(tmp_path).close()
    (tmp_path / "blobs").unlink()
    with pytest.raises(CannotOpen, match="keeps mail in packs"):
        open_local(tmp_path, Options(allow_tmpfs=True, measure_sync=False, blobs="maildir"))
    assert kind.decided(tmp_path) == "packs"


def test_a_kind_nobody_knows_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="cannot do"):
        kind.decided(tmp_path, "cards")
    assert not (tmp_path / "blobs").exists()
