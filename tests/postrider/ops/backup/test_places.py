"""What every place for backups promises, a directory as well as a bucket."""

import hashlib
import os

import pytest

from postrider.ops.backup.place import BackupError


@pytest.fixture(autouse=True)
def ready(place, tmp_path):
    place.prepare(tmp_path / "data")


def source(tmp_path, content):
    (tmp_path / "source").write_bytes(content)
    return tmp_path / "source"


def digest(content):
    return hashlib.sha256(content).hexdigest()


def test_what_is_written_is_read(place):
    place.write("one/two", b"first")
    place.write("one/two", b"second")
    assert place.read("one/two") == b"second"
    assert place.length("one/two") == 6
    place.conclude("one/manifest", b"")
    assert place.read("one/manifest") == b""


def test_what_is_not_there_is_said(place, tmp_path):
    assert place.length("none") == -1
    assert list(place.lengths("none")) == []
    assert place.folders() == []
    for read in (place.read, lambda name: place.fetch(name, tmp_path / "target", print)):
        with pytest.raises(FileNotFoundError) as error:
            read("no/such")
        assert str(error.value.filename).endswith("no/such")
        assert "shelf" in error.value.filename or error.value.filename.startswith("s3://mail/prefix/")
    place.remove(["no/such", "none"])


def test_names_are_told_in_their_order(place):
    names = ["a/b/c", "a-b", "a/b-c", "a/é %41=,", "a/b.c", "a/b/ä", "c"]
    for name in names:
        place.write(f"x/{name}", name.encode())
    place.write("xy/z", b"")
    assert place.folders() == ["x", "xy"]
    found = list(place.lengths("x"))
    assert found == sorted(((f"x/{name}", len(name.encode())) for name in names), key=lambda row: row[0].encode())
    assert list(place.lengths("x/a/b")) == [("x/a/b/c", 5), ("x/a/b/ä", 6)]


def test_a_file_is_put_whole_or_not_at_all(place, tmp_path):
    content = os.urandom(3_000_000)
    path = source(tmp_path, content)
    assert place.put("packs/one", path, 2_000_000) == (2_000_000, digest(content[:2_000_000]))
    assert place.put("packs/short", path, 3_000_001) == (3_000_000, digest(content))
    assert place.put("packs/empty", source(tmp_path, b""), 0) == (0, digest(b""))
    assert dict(place.lengths("packs")) == {"packs/one": 2_000_000, "packs/empty": 0}
    with pytest.raises(FileNotFoundError):
        place.put("packs/missing", tmp_path / "missing", 5)
    assert len(list(place.lengths("packs"))) == 2
    told = []
    assert place.fetch("packs/one", tmp_path / "target", told.append) == (2_000_000, digest(content[:2_000_000]))
    assert (tmp_path / "target").read_bytes() == content[:2_000_000]
    assert (tmp_path / "target").stat().st_mode & 0o077 == 0
    assert sum(told) == 2_000_000
    with place.at_hand("packs/one") as path:
        assert path.read_bytes() == content[:2_000_000]


def test_what_is_made_on_the_way_is_taken_over(place):
    with place.scratch("one") as scratch:
        (scratch / "mail.db").write_bytes(b"rows")
        place.adopt("one/mail.db", scratch / "mail.db")
    assert place.read("one/mail.db") == b"rows"


def test_what_is_removed_is_gone(place):
    for name in ("a/1", "a/2", "a/b/3", "b/1"):
        place.write(name, b"x")
    place.remove(["a/1", "a/b/3"])
    assert [name for name, _ in place.lengths("a")] == ["a/2"]
    place.clear("a")
    assert place.folders() == ["b"]


def test_one_writes_at_a_time_and_others_may_read(place):
    with place.alone():
        place.write("one", b"x")
    with place.reading(), place.reading():
        assert place.read("one") == b"x"
    with pytest.raises(FileNotFoundError), place.reading():
        place.read("two")


def test_a_failure_leaves_the_place_free(place):
    with pytest.raises(BackupError, match="broken"), place.alone():
        raise BackupError("broken")
    with place.alone():
        pass
