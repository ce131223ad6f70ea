"""The picture keeps the newest state of each object, however late the watch brings an older one."""

import json
from typing import Any

from postrider_operator.observed import Pod, reader
from postrider_operator.picture import Picture
from postrider_operator.world import Ref

Change = tuple[str, str, str]


def raw(name: str, version: int, **more: Any) -> bytes:
    metadata = {"name": name, "namespace": "ns", "uid": f"u-{name}", "resourceVersion": str(version)}
    return json.dumps({"metadata": {**metadata, **more.pop("metadata", {})}, **more}).encode()


def picture() -> tuple[Picture, list[Change]]:
    changes: list[Change] = []

    def version(item: Any) -> str:
        return "" if item is None else str(item.metadata.resource_version)

    found = Picture()
    found.tell(lambda kind, before, now: changes.append((kind, version(before), version(now))))
    return found, changes


def test_an_older_state_never_replaces_a_newer_one() -> None:
    found, changes = picture()
    found.put("Secret", raw("s", 9))
    found.put("Secret", raw("s", 10))
    found.put("Secret", raw("s", 9))
    meta = found.meta(Ref("Secret", "ns", "s"))
    assert meta is not None
    assert meta.resource_version == "10"
    assert changes == [("Secret", "", "9"), ("Secret", "9", "10")]


def test_an_object_made_anew_replaces_the_old_one_whatever_its_version() -> None:
    found, _ = picture()
    found.put("Secret", raw("s", 9))
    found.put("Secret", raw("s", 4, metadata={"uid": "another"}))
    meta = found.meta(Ref("Secret", "ns", "s"))
    assert meta is not None
    assert meta.uid == "another"


def test_our_own_writes_are_kept_and_told_to_nobody() -> None:
    found, changes = picture()
    found.take("Secret", raw("s", 9))
    found.put("Secret", raw("s", 9))
    assert changes == []
    assert found.meta(Ref("Secret", "ns", "s")) is not None


def test_an_object_that_cannot_be_read_is_left_out_and_named() -> None:
    found, changes = picture()
    assert found.put("Mailbox", raw("m", 1, spec={"address": 7})) == ("ns", "m")
    assert changes == []
    assert found.mailboxes("ns") == ()


def test_only_our_labels_and_annotations_are_kept() -> None:
    found, _ = picture()
    metadata = {
        "labels": {"app.kubernetes.io/name": "postrider", "team": "x"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "postrider.dev/intent-hash": "h"},
    }
    found.put("ConfigMap", raw("c", 1, metadata=metadata))
    meta = found.meta(Ref("ConfigMap", "ns", "c"))
    assert meta is not None
    assert meta.labels == {"app.kubernetes.io/name": "postrider"}
    assert meta.annotations == {"postrider.dev/intent-hash": "h"}


def test_a_fingerprint_does_not_change_with_a_status() -> None:
    found, _ = picture()

    def fingerprint(version: int, generation: int) -> object:
        found.take("StatefulSet", raw("w", version, metadata={"generation": generation}))
        meta = found.meta(Ref("StatefulSet", "ns", "w"))
        assert meta is not None
        return meta.fingerprint

    first = fingerprint(1, 1)
    assert fingerprint(2, 1) == first
    assert fingerprint(3, 2) != first


def test_a_pod_in_trouble_says_so_and_one_that_starts_does_not() -> None:
    decode = reader(Pod)
    starting = {"containerStatuses": [{"name": "server", "state": {"waiting": {"reason": "ContainerCreating"}}}]}
    broken = {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}
    assert decode(raw("p", 1, status=starting)).trouble == ""
    assert decode(raw("p", 1, status=broken)).trouble == "ImagePullBackOff: no such image"
    ready = {"podIP": "192.0.2.1", "conditions": [{"type": "Ready", "status": "True"}]}
    assert decode(raw("p", 1, status=ready)).ready
