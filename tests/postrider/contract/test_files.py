"""Snapshots as files: sharding, determinism, and the moment when parts of two generations lie side by side."""

import gzip
import os
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postrider.contract import files, passwords
from postrider.contract.model import Alias, Certificate, Claim, DkimKey, Domain, Mailbox, NamedSecret, Server, Snapshot


def snapshot(count: int = 40, generation: int = 1) -> Snapshot:
    return Snapshot(
        server=Server(hostname="mx.example.org"),
        generation=generation,
        domains=tuple(Domain(name=f"d{n}.example", selectors=("s1",)) for n in range(9)),
        mailboxes=tuple(
            Mailbox(address=f"user{n}@d{n % 9}.example", verifiers=("$fast$AA==$AA==",)) for n in range(count)
        ),
        aliases=(Alias(address="*@d1.example", targets=("user1@d1.example",)),),
        keys=tuple(DkimKey(domain=f"d{n}.example", selector="s1", algorithm="RSA", pem="PEM") for n in range(9)),
        certificates=(
            Certificate(names=("a.example",), chain="C", key="K"),
            Certificate(names=("mx.example.org",), chain="C", key="K"),
        ),
        secrets=(NamedSecret(name="relay", value="x"),),
        claims=(Claim(kind="Alias", key="sales@d1.example", resource="old", since=3, gone=9),),
        held=3,
    )


def flat(made: Snapshot) -> dict[str, bytes]:
    return {name: content for part in files.planes(made).values() for name, content in part.items()}


def test_what_is_written_is_read() -> None:
    made = snapshot()
    assert files.read(flat(made)) == files.normal(made)


def test_every_object_is_of_the_fixed_set() -> None:
    made = files.planes(snapshot(count=500))
    assert set(made) <= set(files.OBJECTS)
    assert len(files.OBJECTS) == 37
    assert {suffix for suffix in made if suffix.startswith("dir-")} == {f"dir-{n}" for n in range(16)}
    assert all(len(part) == 1 for part in made.values())


def test_objects_without_rows_do_not_exist() -> None:
    assert set(files.planes(Snapshot(server=Server(hostname="mx.example.org")))) == {"manifest", "config-0"}


def test_same_rows_same_bytes_in_any_order() -> None:
    made = snapshot()
    for seed in range(5):
        rows = {
            field: tuple(random.Random(seed).sample(getattr(made, field), len(getattr(made, field))))
            for field in ("domains", "mailboxes", "aliases", "keys", "certificates", "secrets", "claims")
        }
        assert files.planes(msgspec.structs.replace(made, **rows)) == files.planes(made)


def test_gzip_has_no_time_stamp() -> None:
    packed = next(content for name, content in flat(snapshot()).items() if name.endswith(".gz"))
    assert packed[4:8] == b"\0\0\0\0"


def test_certificates_of_the_hostname_come_first() -> None:
    read = files.read(flat(snapshot()))
    assert isinstance(read, Snapshot)
    assert [row.names[0] for row in read.certificates] == ["mx.example.org", "a.example"]


def changed(before: Snapshot, after: Snapshot) -> set[str]:
    a, b = files.planes(before), files.planes(after)
    return {suffix for suffix in a.keys() | b.keys() if a.get(suffix) != b.get(suffix)}


def test_a_new_mailbox_touches_one_part_and_the_manifest() -> None:
    before = snapshot(count=500)
    new = Mailbox(address="new@d1.example")
    after = msgspec.structs.replace(before, generation=2, mailboxes=(*before.mailboxes, new))
    assert changed(before, after) == {"manifest", f"dir-{files.shard(new.address, 16)}"}


def test_a_new_generation_alone_touches_the_manifest() -> None:
    assert changed(snapshot(generation=1), snapshot(generation=2)) == {"manifest"}


def test_shards_never_move() -> None:
    # A change here would rewrite every installation's objects at its upgrade.
    assert [files.shard(f"user{n}@example.org", 16) for n in range(8)] == [3, 7, 12, 1, 3, 4, 14, 5]


def test_a_missing_part_is_pending() -> None:
    whole = flat(snapshot(generation=7))
    for name in whole:
        rest = {other: content for other, content in whole.items() if other != name}
        state = files.read(rest)
        assert isinstance(state, files.Pending)
        assert name in state.reason
        assert state.generation == (None if name == files.MANIFEST else 7)


@given(st.data())
def test_any_mixture_of_two_generations_is_one_of_them_or_pending(data: st.DataObject) -> None:
    old, new = snapshot(count=20), snapshot(count=25, generation=2)
    one, two = flat(old), flat(new)
    mixed = {}
    for name in sorted(one.keys() | two.keys()):
        content = data.draw(st.sampled_from([one.get(name), two.get(name), None]))
        if content is not None:
            mixed[name] = content
    state = files.read(mixed)
    if not isinstance(state, files.Pending):
        assert state in (files.normal(old), files.normal(new))


@given(st.data())
def test_a_damaged_part_is_pending_never_refused(data: st.DataObject) -> None:
    whole = flat(snapshot())
    name = data.draw(st.sampled_from(sorted(whole.keys() - {files.MANIFEST})))
    cut = data.draw(st.integers(0, len(whole[name]) - 1))
    assert isinstance(files.read({**whole, name: whole[name][:cut]}), files.Pending)
    flipped = bytearray(whole[name])
    flipped[cut] ^= 1
    state = files.read({**whole, name: bytes(flipped)})
    # A flipped bit in gzip's header may change nothing of the content.
    assert isinstance(state, files.Pending) or state == files.normal(snapshot())


def with_part(name: str, plain: bytes, *, version: int = 1) -> dict[str, bytes]:
    whole = flat(snapshot())
    manifest = msgspec.json.decode(whole[files.MANIFEST])
    manifest["parts"][name] = files.part_hash(plain)
    manifest["version"] = version
    packed = gzip.compress(plain) if name.endswith(".gz") else plain
    return {**whole, name: packed, files.MANIFEST: msgspec.json.encode(manifest)}


def test_unknown_fields_are_ignored() -> None:
    part = b'{"mailboxes":[{"address":"a@d1.example","from_the_future":1}],"also":{}}'
    state = files.read(with_part("dir-3.json.gz", part))
    assert isinstance(state, Snapshot)
    assert Mailbox(address="a@d1.example") in state.mailboxes


@pytest.mark.parametrize(
    ("directory", "says"),
    [
        (with_part("dir-3.json.gz", b"{"), "dir-3"),
        (with_part("dir-3.json.gz", b'{"mailboxes":[{"address":3}]}'), "address"),
        (with_part("dir-3.json.gz", b'{"mailboxes":[{"address":"a@b","quota_bytes":-1}]}'), "quota_bytes"),
        (with_part("config-0.json", b"{}"), "server"),
        (with_part("../../etc/passwd", b"{}"), "not the name of a part"),
        (with_part("config-0.json", b"{}", version=2), "version 2"),
        ({files.MANIFEST: b"\xff"}, "manifest"),
        ({files.MANIFEST: b'{"generation":1}'}, "version"),
    ],
)
def test_what_waiting_cannot_mend_is_refused(directory: dict[str, bytes], says: str) -> None:
    with pytest.raises(files.BadSnapshot, match=says):
        files.read(directory)


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = flat(snapshot())
    monkeypatch.setattr(files, "MAX_UNPACKED", 100)
    assert isinstance(files.read(whole), files.Pending)


def test_ten_thousand_mailboxes_fit() -> None:
    seeded = random.Random(1)
    token = seeded.randbytes
    made = snapshot(count=0)
    rows = tuple(
        Mailbox(
            address=f"first.last{n}@d{n % 9}.example",
            verifiers=passwords.make("x", generated=True, token=token),
            since=1_760_000_000,
        )
        for n in range(10_000)
    )
    objects = files.planes(msgspec.structs.replace(made, mailboxes=rows))
    assert sum(len(content) for part in objects.values() for content in part.values()) < 600_000


def test_too_much_for_an_object_names_the_part() -> None:
    noise = random.Random(2).randbytes(2_000_000).hex()
    with pytest.raises(files.SnapshotTooLarge) as caught:
        files.planes(msgspec.structs.replace(snapshot(), secrets=(NamedSecret(name="relay", value=noise),)))
    assert caught.value.part == f"keys-{files.shard('relay', 16)}"
    assert caught.value.size > files.MAX_PART


def test_a_directory_is_read_as_it_was_written(tmp_path: Path) -> None:
    place = tmp_path / "snapshot"
    files.write_directory(place, snapshot(count=300))
    first = files.read_manifest(place)
    files.write_directory(place, snapshot(count=2, generation=2))
    assert files.read_directory(place) == files.normal(snapshot(count=2, generation=2))
    assert files.read_manifest(place) not in (None, first)
    assert len(list(place.iterdir())) == 2  # the link and one generation: nothing is left behind


def test_secrets_on_disk_are_the_owners_alone(tmp_path: Path) -> None:
    files.write_directory(tmp_path / "snapshot", snapshot())
    for place in (tmp_path / "snapshot").rglob("*.json*"):
        assert place.stat().st_mode & 0o077 == 0


def test_a_flat_directory_is_read_too(tmp_path: Path) -> None:
    for name, content in flat(snapshot()).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "README").write_text("not ours")
    assert files.read_directory(tmp_path) == files.normal(snapshot())


def test_a_directory_as_the_kubelet_writes_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "..2026_11_21").mkdir()
    for name, content in flat(snapshot()).items():
        (tmp_path / "..2026_11_21" / name).write_bytes(content)
        (tmp_path / name).symlink_to(f"..data/{name}")
    (tmp_path / "..data").symlink_to("..2026_11_21")
    assert files.read_directory(tmp_path) == files.normal(snapshot())


def test_no_directory_is_an_error_an_empty_one_is_pending(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.read_directory(tmp_path / "nowhere")
    assert isinstance(files.read_directory(tmp_path), files.Pending)
    assert files.read_manifest(tmp_path) is None


def test_a_failed_write_leaves_the_old_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "snapshot"
    files.write_directory(place, snapshot())
    calls = iter([None] * 3)

    def full(_: int) -> None:
        if next(calls, "full") == "full":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_directory(place, snapshot(generation=2))
    assert files.read_directory(place) == files.normal(snapshot())
    assert len(list(place.iterdir())) == 2


def test_a_kept_generation_that_is_replaced_while_it_is_read_gives_the_next(tmp_path, monkeypatch) -> None:
    files.write_directory(tmp_path, snapshot(generation=1))
    current, moments = files.current, []

    def replaced_behind_our_back(path: Path) -> Path:
        found = current(path)
        if not moments:
            moments.append(found)
            files.write_directory(tmp_path, snapshot(generation=2))
        return found

    monkeypatch.setattr(files, "current", replaced_behind_our_back)
    assert isinstance(files.read_directory(tmp_path), files.Pending)
    moments.clear()
    found = files.read_kept(tmp_path)
    assert isinstance(found, Snapshot)
    assert found.generation == 2
