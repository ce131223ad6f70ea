"""Children as intents: complete objects with labels, owner and hash; and which existing ones are not ours."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from postrider_operator.kinds import MailServer, Resource
from postrider_operator.kinds.resource import API_VERSION
from postrider_operator.plan import names
from postrider_operator.plan.desired import API_VERSIONS, HASH, Apply, Object
from postrider_operator.world import Child, Ref, World


def apply(ref: Ref, body: Object, server: str, owner: Resource | None, annotations: Mapping[str, str] = {}) -> Apply:
    """An Apply of the object `body` describes (spec, data, ...). What has no owner outlives everything."""
    metadata = {"name": ref.name, "namespace": ref.namespace, "labels": names.labels(server), **owned(owner)}
    whole = {"apiVersion": API_VERSIONS[ref.kind], "kind": ref.kind, "metadata": metadata, **body}
    mark = digest([whole, dict(annotations)])
    metadata["annotations"] = {**annotations, HASH: mark}
    return Apply(ref, whole, mark)


def generated(ref: Ref, server: str, content: str, owner: Resource | None, **body: Any) -> Object:
    """The object of a Generate, without its material.

    `owner` is one it has for good. Where a deletionPolicy decides it is None, and `ownership` says so afterwards: a
    server-side apply takes back what an apply has given, and nothing that came with the creation.
    """
    labels = names.labels(server) | {names.CONTENT: content}
    metadata = {"name": ref.name, "namespace": ref.namespace, "labels": labels, **owned(owner)}
    return {"apiVersion": API_VERSIONS[ref.kind], "kind": ref.kind, "metadata": metadata, **body}


def ownership(ref: Ref, child: Child, owner: Resource | None) -> Apply | None:
    """Metadata alone, so that a generated object goes with its owner, or no longer does; None: it is so already.

    The material is not part of the apply and stays what it is.
    """
    if owner is None and HASH not in child.annotations:
        return None
    whole = {"apiVersion": API_VERSIONS[ref.kind], "kind": ref.kind}
    metadata = {"name": ref.name, "namespace": ref.namespace, **owned(owner)}
    mark = digest([whole, metadata])
    return Apply(ref, {**whole, "metadata": {**metadata, "annotations": {HASH: mark}}}, mark)


def owned(owner: Resource | None) -> Object:
    """The ownerReferences entry of metadata; {} without an owner."""
    if owner is None:
        return {}
    reference = {
        "apiVersion": API_VERSION,
        "kind": owner.INFO.kind,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {"ownerReferences": [reference]}


def retained(server: MailServer) -> MailServer | None:
    """The owner of what deletionPolicy speaks of: nobody, unless it is to go with the MailServer."""
    return server if server.spec.deletion_policy == "Delete" else None


def taken(world: World) -> frozenset[Ref]:
    """Existing objects that have a name we use and are not ours: they are never adopted."""
    return frozenset(child.ref for child in world.children if not names.is_ours(child.labels))


def child(world: World, ref: Ref) -> Child | None:
    """The existing object, if there is one."""
    return next((c for c in world.children if c.ref == ref), None)


def digest(value: Any) -> str:
    """A short hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:24]


def encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    """A Secret's data as the API has it."""
    return {key: base64.b64encode(value).decode() for key, value in data.items()}
