"""Files planned without a cluster or a server: what lint, render and dns work on."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from postrider.contract import files
from postrider.contract.model import Snapshot
from postrider_operator import material
from postrider_operator.local.declared import Declared
from postrider_operator.local.documents import Problem
from postrider_operator.local.generated import Generated
from postrider_operator.local.picture import Picture
from postrider_operator.plan import names, plan
from postrider_operator.plan.desired import Apply, Generate, StatusPatch
from postrider_operator.plan.secrets import unhashed
from postrider_operator.world import Defaults, Pod, Ref

_MAX_PLANS = 20


@dataclass(frozen=True, slots=True)
class Planned:
    """What the files lead to."""

    problems: tuple[Problem, ...]
    #: How many objects the files declare.
    objects: int
    #: File and line of each declared object that something is said of.
    places: Mapping[Ref, str]
    snapshot: Snapshot | None
    applies: tuple[Apply, ...]
    generates: tuple[Generate, ...]
    statuses: tuple[StatusPatch, ...]


def planned(path: Path, *, state: Path | None = None, local: bool = True, image: str = "") -> Planned:
    """Plan the files as if for the first time, with generated material from `state` or made for the moment.

    Nothing is written. `local=False` plans the objects of a cluster.
    """
    with tempfile.TemporaryDirectory() as scratch:
        generated = Generated(Path(scratch) / "generated")
        for row in _kept(state):
            generated.create(row)
        declared = Declared(path, Path(scratch) / "accepted.json")
        declared.look()
        return _settled(Picture(declared, generated), local=local, image=image)


def _kept(state: Path | None) -> Iterable[dict[str, object]]:
    if state is None:
        return ()
    kept = Generated(state)
    return (*kept.of("Secret"), *kept.of("DkimKey"))


def _settled(picture: Picture, *, local: bool, image: str) -> Planned:
    made: dict[Ref, Generate] = {}
    for _ in range(_MAX_PLANS):
        world = picture.world(time.time())
        picture.verifiers |= {p.source: material.verifiers(p) for p in unhashed(world)}
        defaults = Defaults(image) if image else world.defaults
        world = replace(world, verifiers=picture.verifiers, local=local, defaults=defaults)
        desired = plan(world)
        picture.statuses |= {patch.ref: patch.status for patch in desired.statuses}
        ca = world.secrets.get(names.authority(world.name))
        for intent in desired.generates:
            made[intent.ref] = intent
            picture.generated.create(material.fill(intent, ca.data if ca else None, world.now))
        snapshot = files.read(desired.files) if desired.files else None
        found = snapshot if isinstance(snapshot, Snapshot) else None
        if not desired.generates and found == picture.previous:
            break
        picture.previous = found
        # As if a pod had loaded it: lint tells what is wrong with the files, not that nothing runs.
        picture.pods = (Pod("lint", ready=True, loaded=desired.generation),)
    return Planned(
        problems=(*picture.declared.problems, *picture.problems),
        objects=len(picture.declared.objects),
        places={ref: place for ref in picture.statuses if (place := picture.where(ref))},
        snapshot=found,
        applies=desired.applies,
        generates=tuple(made.values()),
        statuses=tuple(StatusPatch(ref, "", status) for ref, status in picture.statuses.items()),
    )
