"""The snapshot as Kubernetes objects, the manifest last and guarded by its resourceVersion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from postrider.contract import files
from postrider.contract.files import SnapshotTooLarge
from postrider.contract.model import Snapshot
from postrider_operator.kinds import MailServer
from postrider_operator.plan import children, names
from postrider_operator.plan.desired import Apply, Delete
from postrider_operator.plan.findings import Finding, Findings
from postrider_operator.plan.mine import ref
from postrider_operator.plan.secrets import name_taken
from postrider_operator.world import Ref, World


@dataclass(frozen=True, slots=True)
class Objects:
    """The intents, and the files as the server sees them."""

    applies: tuple[Apply, ...] = ()
    deletes: tuple[Delete, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


def objects(world: World, server: MailServer, snapshot: Snapshot, findings: Findings) -> Objects:
    """Intents for all parts of a snapshot. One that does not fit, or whose name is taken, publishes nothing."""
    try:
        planes = files.planes(snapshot)
    except SnapshotTooLarge as error:
        action = "Use fewer or smaller objects, or split them over two MailServers."
        findings.add(ref(server), Finding("SnapshotTooLarge", str(error), action))
        return Objects()
    taken = children.taken(world)
    wanted = {suffix: _ref(world, suffix) for suffix in planes}
    for at in wanted.values():
        if at in taken:
            findings.add(ref(server), name_taken(at))
            return Objects()
    owner = children.retained(server)
    manifest = planes.pop("manifest")
    applies = [_apply(wanted[suffix], content, (world.name, owner)) for suffix, content in sorted(planes.items())]
    last = _apply(wanted["manifest"], manifest, (world.name, owner))
    if world.manifest_version:
        last.object["metadata"]["resourceVersion"] = world.manifest_version
    flat = {name: data for content in (*planes.values(), manifest) for name, data in content.items()}
    return Objects((*applies, last), _unused(world, frozenset(wanted.values())), flat)


def _ref(world: World, suffix: str) -> Ref:
    return Ref(files.OBJECTS[suffix], world.namespace, names.part(world.name, suffix))


def _apply(at: Ref, content: Mapping[str, bytes], of: tuple[str, MailServer | None]) -> Apply:
    server, owner = of
    if at.kind == "Secret":
        body = {"type": "Opaque", "data": children.encoded(content)}
    else:
        body = {"data": {name: data.decode() for name, data in content.items()}}
    return children.apply(at, body, server, owner)


def _unused(world: World, wanted: frozenset[Ref]) -> tuple[Delete, ...]:
    """Parts that have no rows any more."""
    parts = {_ref(world, suffix) for suffix in files.OBJECTS} - wanted
    return tuple(
        Delete(child.ref, child.uid) for child in world.children if child.ref in parts and names.is_ours(child.labels)
    )
