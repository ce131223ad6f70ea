"""The last snapshot is found again in the cluster, also when its writer died between the parts and the manifest."""

import msgspec

from postrider.contract import files
from postrider.contract.model import Domain, Mailbox, Server, Snapshot
from postrider_operator.published import restored


def snapshot(generation: int, *names: str, quota: int = 0) -> Snapshot:
    mailboxes = tuple(Mailbox(address=f"{name}@one.test", resource=name, quota_bytes=quota) for name in names)
    domains = (Domain(name="one.test", resource="one.test"),)
    return files.normal(
        Snapshot(server=Server(hostname="mx.one.test"), generation=generation, domains=domains, mailboxes=mailboxes)
    )


def flat(of: Snapshot) -> dict[str, bytes]:
    return {name: data for part in files.planes(of).values() for name, data in part.items()}


def test_a_whole_snapshot_comes_back() -> None:
    whole = snapshot(7, "alice", "bob")
    assert restored(flat(whole)) == whole


def test_nothing_is_nothing() -> None:
    assert restored({}) is None


def test_parts_newer_than_their_manifest_are_taken_and_will_be_published_anew() -> None:
    new = flat(snapshot(8, "alice", "bob", "carol", quota=1000))
    new[files.MANIFEST] = flat(snapshot(7, "alice"))[files.MANIFEST]
    found = restored(new)
    assert found is not None
    assert found.generation == 7
    assert {row.resource for row in found.mailboxes} == {"alice", "bob", "carol"}
    assert found.version == 0  # no plan wants that version: it gets a number of its own


def test_parts_the_manifest_does_not_name_are_no_part_of_it() -> None:
    old, new = snapshot(7, "alice"), flat(snapshot(8, "alice", "bob", "carol"))
    assert restored({**new, files.MANIFEST: flat(old)[files.MANIFEST]}) == old


def test_a_lost_part_costs_its_rows_alone() -> None:
    left = flat(snapshot(7, "alice", "bob", "carol"))
    lost = next(name for name in left if name.startswith("dir-"))
    del left[lost]
    found = restored(left)
    assert found is not None
    assert 0 < len(found.mailboxes) < 3
    assert found.domains


def test_a_damaged_part_and_a_damaged_manifest_are_left_out() -> None:
    left = flat(snapshot(7, "alice"))
    damaged = next(name for name in left if name.startswith("dir-"))
    found = restored({**left, damaged: b"not gzip"})
    assert found is not None
    assert found.mailboxes == ()
    without = restored({**left, files.MANIFEST: b"{"})
    assert without is None or without.generation == 0


def test_what_only_a_later_release_can_read_is_not_guessed_at() -> None:
    later = msgspec.structs.replace(snapshot(7, "alice"), version=99)
    assert restored(flat(later)) is None
