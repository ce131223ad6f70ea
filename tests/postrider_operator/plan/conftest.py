"""A namespace in memory that carries out intents as the API server would, and pods that load what is published."""

from __future__ import annotations

import base64
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import yaml

from postrider.contract import dkim, files
from postrider.contract.model import Snapshot
from postrider_operator import material
from postrider_operator.kinds import BY_NAME, Resource
from postrider_operator.paths import PLURALS
from postrider_operator.plan import plan
from postrider_operator.plan.conditions import time
from postrider_operator.plan.desired import Desired, Event, KeyMaterial
from postrider_operator.plan.secrets import unhashed
from postrider_operator.rights import RIGHTS
from postrider_operator.world import Child, Pod, Ref, Secret, Workload, World

Object = dict[str, Any]

NAMESPACE = "mail"
START = 1_800_000_000.0


class Namespace:
    """Objects by Ref; `settle` plans and carries out until nothing is left to do."""

    def __init__(self, pems: dict[str, str]) -> None:
        self.objects: dict[Ref, Object] = {}
        self.declared: frozenset[Ref] = frozenset()
        self.now = START
        self.pods: tuple[Pod, ...] = ()
        self.follow = True  # pods load what is published
        self.dns: dict[tuple[str, str], tuple[str, ...]] = {}
        self.events: list[Event] = []
        self.desired = Desired()
        self.writes = 0
        self.local = False
        self.plans = 0
        self._pems = pems
        self._given: dict[Ref, Object] = {}
        # Whoever creates an object owns what stood in it: an apply takes back only what an apply has given.
        self._created_with_owner: set[Ref] = set()
        self._verifiers: dict[str, tuple[str, ...]] = {}
        self._numbers = itertools.count(1)
        self._snapshot: Snapshot | None = None

    def declare(self, text: str) -> None:
        """Make the user's objects those of the YAML text: create, change and delete as kubectl and a prune would."""
        wanted = {self._ref(row): row for row in yaml.safe_load_all(text) if row}
        for ref in self.declared - wanted.keys():
            self.delete(ref)
        for ref, row in wanted.items():
            if ref not in self.declared or row != self._given.get(ref):
                self.put(ref, row)
        self._given = wanted
        self.declared = frozenset(wanted)

    def put(self, ref: Ref, row: Object) -> None:
        """Create an object or change its specification, metadata and data."""
        last = self.objects.get(ref)
        body = {key: value for key, value in row.items() if key not in ("metadata", "status")}
        same = last is not None and all(last.get(key) == value for key, value in body.items())
        metadata = {**row.get("metadata", {}), "name": ref.name, "namespace": NAMESPACE}
        if last is None:
            metadata |= {"uid": f"uid-{ref.kind}-{ref.name}-{next(self._numbers)}", "generation": 1}
            metadata["creationTimestamp"] = time(self.now)
        else:
            metadata |= {k: last["metadata"][k] for k in ("uid", "creationTimestamp")}
            metadata["generation"] = last["metadata"]["generation"] + (not same)
        metadata["resourceVersion"] = str(next(self._numbers))
        self.objects[ref] = {**body, "metadata": metadata, "status": last["status"] if last else {}}
        self.writes += 1

    def delete(self, ref: Ref) -> None:
        """Delete an object and, as the garbage collector would, what it owns."""
        gone = self.objects.pop(ref, None)
        if gone is None:
            return
        uid = gone["metadata"]["uid"]
        for other in list(self.objects):
            owners = self.objects.get(other, {}).get("metadata", {}).get("ownerReferences", ())
            if any(owner["uid"] == uid for owner in owners):
                self.delete(other)

    def world(self, name: str = "default") -> World:
        """What the operator sees now."""
        kinds = {kind: tuple(self._of(kind)) for kind in BY_NAME}
        server = next((s for s in kinds["MailServer"] if s.name == name), None)
        ready = sum(pod.ready for pod in self.pods)
        world = World(
            namespace=NAMESPACE,
            name=name,
            now=self.now,
            server=server,  # type: ignore[arg-type]
            servers=kinds["MailServer"],  # type: ignore[arg-type]
            domains=kinds["MailDomain"],  # type: ignore[arg-type]
            mailboxes=kinds["Mailbox"],  # type: ignore[arg-type]
            aliases=kinds["Alias"],  # type: ignore[arg-type]
            keys=kinds["DkimKey"],  # type: ignore[arg-type]
            secrets={ref.name: _secret(ref, row) for ref, row in self.objects.items() if ref.kind == "Secret"},
            previous=self.snapshot(name),
            manifest_version=self._version(Ref("ConfigMap", NAMESPACE, f"{name}-manifest")),
            children=tuple(
                _child(r, o) for r, o in self.objects.items() if r.kind not in BY_NAME or r.kind == "DkimKey"
            ),
            pods=self.pods,
            workload=Workload(len(self.pods), ready, len(self.pods), True, addresses=("198.18.0.25",)),
            dns=self.dns,
            local=self.local,
        )
        self._verifiers |= {p.source: material.verifiers(p) for p in unhashed(world)}
        return dataclasses.replace(world, verifiers=self._verifiers)

    def snapshot(self, name: str = "default") -> Snapshot | None:
        """What is published."""
        directory: dict[str, bytes] = {}
        for suffix, kind in files.OBJECTS.items():
            row = self.objects.get(Ref(kind, NAMESPACE, f"{name}-{suffix}"), {})
            decode: Callable[[str], bytes] = base64.b64decode if kind == "Secret" else str.encode
            directory |= {key: decode(value) for key, value in row.get("data", {}).items()}
        found = files.read(directory)
        self._snapshot = found if isinstance(found, Snapshot) else self._snapshot
        return self._snapshot

    def settle(self, name: str = "default", rounds: int = 12) -> Desired:
        """Plan and carry out until a plan changes nothing."""
        for _ in range(rounds):
            before = self.writes
            self.once(name)
            if self.writes == before:
                return self.desired
        raise AssertionError(f"nothing has settled after {rounds} plans")

    def once(self, name: str = "default") -> Desired:
        """One plan, carried out."""
        desired = self.desired = plan(self.world(name))
        self.plans += 1
        for intent in desired.generates:
            if intent.ref not in self.objects or intent.replaces:
                _allowed(intent.ref, "update" if intent.replaces else "create")
                self.put(intent.ref, self._filled(intent))
                if "ownerReferences" in intent.object["metadata"]:
                    self._created_with_owner.add(intent.ref)
        for apply in desired.applies:
            _allowed(apply.ref, "patch" if apply.ref in self.objects else "create")
            self._apply(apply.ref, apply.object)
        for delete in desired.deletes:
            _allowed(delete.ref, "delete")
            self.writes += delete.ref in self.objects
            self.delete(delete.ref)
        for patch in desired.statuses:
            if patch.ref in self.objects:
                self.objects[patch.ref]["status"] = dict(patch.status)
                self.writes += 1
        self.events += desired.events
        self._run_pods(desired)
        return desired

    def status(self, kind: str, name: str) -> dict[str, Any]:
        """The status of an object."""
        return self.objects[Ref(kind, NAMESPACE, name)]["status"]  # type: ignore[no-any-return]

    def ready(self, kind: str, name: str) -> tuple[str, str]:
        """Status and reason of an object's Ready condition."""
        rows = {row["type"]: row for row in self.status(kind, name)["conditions"]}
        return rows["Ready"]["status"], rows["Ready"]["reason"]

    def _filled(self, intent: Any) -> Object:
        if isinstance(intent.material, KeyMaterial):  # an RSA key takes long: each test has the same
            pem = self._pems[intent.material.algorithm]
            return {**intent.object, "data": {"key.pem": base64.b64encode(pem.encode()).decode()}}
        ca = self.objects.get(Ref("Secret", NAMESPACE, "default-ca"), {}).get("data", {})
        return material.fill(intent, {key: base64.b64decode(value) for key, value in ca.items()}, self.now)

    def _apply(self, ref: Ref, wanted: Object) -> None:
        """Server-side apply, as far as these objects need it: what is not named stays."""
        last = self.objects.get(ref, {})
        version = wanted["metadata"].get("resourceVersion")
        assert version in (None, self._version(ref)), f"{ref}: conflict"
        mark = wanted["metadata"]["annotations"]
        if last and last["metadata"].get("annotations", {}).items() >= mark.items():
            return
        metadata = {**last.get("metadata", {}), **wanted["metadata"]}
        if "ownerReferences" not in wanted["metadata"] and ref not in self._created_with_owner:
            metadata.pop("ownerReferences", None)
        self.put(ref, {**last, **wanted, "metadata": metadata})

    def _run_pods(self, desired: Desired) -> None:
        wanted = next((row for ref, row in self.objects.items() if ref.kind == "StatefulSet"), None)
        count = wanted["spec"]["replicas"] if wanted else int(self.local)
        if not self.follow:
            return
        pods = tuple(
            Pod(f"default-mail-{n}", ready=desired.generation > 0, loaded=desired.generation, readable=(1,))
            for n in range(count)
        )
        self.writes += pods != self.pods
        self.pods = pods

    def _of(self, kind: str) -> Iterator[Resource]:
        for ref, row in self.objects.items():
            if ref.kind == kind:
                yield BY_NAME[kind].model_validate(row)

    def _version(self, ref: Ref) -> str:
        return str(self.objects.get(ref, {}).get("metadata", {}).get("resourceVersion", ""))

    def _ref(self, row: Object) -> Ref:
        return Ref(row["kind"], NAMESPACE, row["metadata"]["name"])


def _allowed(ref: Ref, verb: str) -> None:
    """Nothing is planned that the chart's rules forbid."""
    resource = PLURALS[ref.kind]
    assert any(right.resource == resource and verb in right.verbs for right in RIGHTS), f"{verb} {resource}"


def _secret(ref: Ref, row: Object) -> Secret:
    data = {key: base64.b64decode(value) for key, value in row.get("data", {}).items()}
    data |= {key: value.encode() for key, value in row.get("stringData", {}).items()}
    metadata = row["metadata"]
    notes = (metadata.get("labels", {}), metadata.get("annotations", {}))
    return Secret(ref.name, metadata["uid"], metadata["resourceVersion"], data, *notes)


def _child(ref: Ref, row: Object) -> Child:
    metadata = row["metadata"]
    notes = (metadata.get("labels", {}), metadata.get("annotations", {}))
    return Child(ref, metadata["uid"], metadata["resourceVersion"], *notes)


@pytest.fixture(scope="session")
def pems() -> dict[str, str]:
    """One private key of each algorithm."""
    return {"RSA": dkim.generate("RSA"), "Ed25519": dkim.generate("Ed25519")}


@pytest.fixture
def namespace(pems: dict[str, str]) -> Namespace:
    """An empty namespace."""
    return Namespace(pems)


@pytest.fixture
def declare(namespace: Namespace) -> Callable[..., None]:
    """Declare objects given as (kind, name, spec) rows, and settle."""

    def put(*rows: tuple[str, str, Object | None]) -> None:
        namespace.declare(to_yaml(rows))
        namespace.settle()

    return put


def to_yaml(rows: Iterable[tuple[str, str, Object | None]]) -> str:
    """Rows of (kind, name, spec) as YAML; a Secret's spec is its stringData."""
    documents = []
    for kind, name, spec in rows:
        row: Object = {"kind": kind, "metadata": {"name": name}}
        if spec is not None:
            row["stringData" if kind == "Secret" else "spec"] = spec
        documents.append(row)
    return yaml.safe_dump_all(documents)
