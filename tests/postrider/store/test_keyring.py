"""Keys in their files: wrapped, rotated, missing, shredded."""

import pytest

from postrider.store.directory import key_files
from postrider.store.keyring import Keyring, Masters
from postrider.store.keys import KeyMissing, Shredded

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
FIRST = Masters("a", {"a": OLD})
BOTH = Masters("b", {"a": OLD, "b": NEW})


def test_a_key_is_there_for_the_next_process(tmp_path):
    made = Keyring(tmp_path, FIRST).make("mail/alice@a.test")
    assert Keyring(tmp_path, FIRST).key(made.id) == made
    assert Keyring(tmp_path).owners() == {made.id: "mail/alice@a.test"}
    (path,) = key_files(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert made.octets not in path.read_bytes()
    assert repr(made) == f"DataKey(id={made.id})"


def test_what_is_encrypted_stays_so(tmp_path):
    assert not Keyring(tmp_path).on
    assert Keyring(tmp_path, FIRST).on
    Keyring(tmp_path, FIRST).make("")
    assert Keyring(tmp_path).on
    with pytest.raises(KeyMissing, match="nothing new"):
        Keyring(tmp_path).make("")


def test_rotation(tmp_path):
    ring = Keyring(tmp_path, FIRST)
    keys = [ring.make(name) for name in ("", "mail/a@a.test")]
    ring.load(BOTH)
    assert ring.rotate().wrapped == 2
    assert ring.rotate().wrapped == 0
    ring.load(Masters("b", {"b": NEW}))
    assert [ring.key(key.id) for key in keys] == keys


def test_a_missing_master_concerns_its_own(tmp_path):
    ring = Keyring(tmp_path, FIRST)
    hers = ring.make("mail/alice@a.test")
    ring.load(BOTH)
    his = ring.make("mail/bob@a.test")
    ring.load(Masters("b", {"b": NEW}))
    assert ring.key(his.id) == his
    with pytest.raises(KeyMissing, match="master key 'a', which is not there"):
        ring.key(hers.id)
    done = ring.rotate()
    assert (done.wrapped, done.missing) == (0, {"a": ("mail/alice@a.test",)})


def test_without_the_newest_the_others_open_what_they_wrapped(tmp_path):
    ring = Keyring(tmp_path, FIRST)
    made = ring.make("mail/alice@a.test")
    ring.load(Masters("b", {"a": OLD}))
    done = ring.rotate()
    assert (done.wrapped, done.missing) == (0, {"b": ()})
    assert ring.key(made.id) == made
    with pytest.raises(KeyMissing, match="nothing new"):
        ring.make("mail/bob@a.test")


def test_who_misses_a_key_looks_again(tmp_path):
    made = Keyring(tmp_path, FIRST).make("")
    late = Keyring(tmp_path, Masters("a"), lambda: FIRST)
    assert late.key(made.id) == made
    assert Keyring(tmp_path, Masters("a"), lambda: FIRST).make("").id


def test_another_master_of_that_name_opens_nothing(tmp_path):
    made = Keyring(tmp_path, FIRST).make("")
    with pytest.raises(KeyMissing, match="another than it was"):
        Keyring(tmp_path, Masters("a", {"a": NEW})).key(made.id)


def test_a_damaged_file_is_told(tmp_path):
    made = Keyring(tmp_path, FIRST).make("")
    (path,) = key_files(tmp_path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(KeyMissing):
            Keyring(tmp_path, FIRST).key(made.id)
        assert Keyring(tmp_path, FIRST).rotate().missing


def test_shredding(tmp_path):
    ring = Keyring(tmp_path, FIRST)
    gone, stays = ring.make("a"), ring.make("b")
    path = next(path for path in key_files(tmp_path) if path.name == f"{gone.id:08x}")
    kept = path.with_name("link")
    kept.hardlink_to(path)  # what a look at the disk would find
    before = kept.read_bytes()
    assert ring.shred([gone.id]) == ["a"]
    assert ring.shred([gone.id]) == []  # once more is no error
    assert set(before) != set(kept.read_bytes())
    assert not kept.read_bytes().startswith(before[:8])
    with pytest.raises(Shredded):
        ring.key(gone.id)
    assert ring.key(stays.id) == stays


def test_a_wrap_that_was_replaced_is_overwritten(tmp_path):
    ring = Keyring(tmp_path, FIRST)
    ring.make("")
    (path,) = key_files(tmp_path)
    old = path.with_name("link")
    old.hardlink_to(path)
    before = old.read_bytes()
    ring.load(BOTH)
    ring.rotate()
    assert old.read_bytes() != before
    assert not old.read_bytes().startswith(before[:8])
