"""The World of local mode: declared objects from files, generated ones from the state directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from postrider.contract.model import Snapshot
from postrider_operator.kinds import BY_NAME, Resource
from postrider_operator.local.declared import Declared, Key
from postrider_operator.local.documents import Document, Problem
from postrider_operator.local.generated import Generated, child, secret, with_version
from postrider_operator.plan.desired import Object
from postrider_operator.plan.mine import DEFAULT_SERVER
from postrider_operator.plan.snapshot import ACKNOWLEDGE
from postrider_operator.world import Pod, Ref, Secret, Workload, World

DEFAULT_NAMESPACE = "default"


@dataclass(slots=True)
class Picture:
    """Puts Worlds together; remembers statuses and verifiers from one to the next."""

    declared: Declared
    generated: Generated
    #: Held generation whose losses are meant; "" for none.
    acknowledge: str = ""
    previous: Snapshot | None = None
    pods: tuple[Pod, ...] = ()
    statuses: dict[Ref, Mapping[str, Any]] = field(default_factory=dict)
    verifiers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: Objects that belong to no World: in another namespace.
    problems: tuple[Problem, ...] = ()

    def world(self, now: float) -> World:
        """Everything as it is now."""
        namespace, name = self._server()
        self.problems = tuple(
            document.problem(("metadata", "namespace"), f"local mode serves the namespace {namespace} alone")
            for document in self.declared.objects.values()
            if _namespace(document, namespace) != namespace
        )
        rows = [with_version(_placed(d, namespace)) for d in self._of(namespace)]
        rows += self.generated.of("DkimKey")
        kinds = {kind: tuple(self._resource(row) for row in rows if row["kind"] == kind) for kind in BY_NAME}
        given = [row for row in rows if row["kind"] == "Secret"]
        made = list(self.generated.of("Secret"))
        secrets, unreadable = _secrets([*made, *given])
        ready = sum(pod.ready for pod in self.pods)
        return World(
            namespace=namespace,
            name=name,
            now=now,
            server=next((s for s in kinds["MailServer"] if s.metadata.name == name), None),  # type: ignore[arg-type]
            servers=kinds["MailServer"],  # type: ignore[arg-type]
            domains=kinds["MailDomain"],  # type: ignore[arg-type]
            mailboxes=kinds["Mailbox"],  # type: ignore[arg-type]
            aliases=kinds["Alias"],  # type: ignore[arg-type]
            keys=kinds["DkimKey"],  # type: ignore[arg-type]
            secrets=secrets,
            unreadable=unreadable,
            verifiers=self.verifiers,
            previous=self.previous,
            children=tuple(child(namespace, row) for row in (*made, *given)),
            pods=self.pods,
            workload=Workload(len(self.pods), ready, len(self.pods), observed=True),
            local=True,
        )

    def where(self, ref: Ref) -> str:
        """File and line of a declared object; "" for a generated one."""
        document = self.declared.objects.get((ref.kind, ref.name))
        return f"{document.file}:{document.line(())}" if document else ""

    def _server(self) -> tuple[str, str]:
        """Namespace and name of the MailServer that is run: the one called default, else the first."""
        servers = sorted((key[1], doc) for key, doc in self.declared.objects.items() if key[0] == "MailServer")
        chosen = next((pair for pair in servers if pair[0] == DEFAULT_SERVER), servers[0] if servers else None)
        if chosen is None:
            return DEFAULT_NAMESPACE, DEFAULT_SERVER
        return _namespace(chosen[1], DEFAULT_NAMESPACE), chosen[0]

    def _of(self, namespace: str) -> list[Document]:
        documents: Mapping[Key, Document] = self.declared.objects
        return [d for d in documents.values() if _namespace(d, namespace) == namespace]

    def _resource(self, row: Object) -> Resource:
        metadata = row["metadata"]
        if row["kind"] == "MailServer" and self.acknowledge:
            notes = {**(metadata.get("annotations") or {}), ACKNOWLEDGE: self.acknowledge}
            metadata = {**metadata, "annotations": notes}
        status = self.statuses.get(Ref(row["kind"], metadata["namespace"], metadata["name"]), {})
        spec = row.get("spec")
        body = {"metadata": metadata, "status": status, **({"spec": spec} if spec is not None else {})}
        return BY_NAME[row["kind"]].model_validate(body)


def _namespace(document: Document, default: str) -> str:
    return str(document.metadata.get("namespace") or default)


def _placed(document: Document, namespace: str) -> Object:
    return {**document.data, "metadata": {**document.metadata, "namespace": namespace}}


def _secrets(rows: list[Object]) -> tuple[dict[str, Secret], dict[str, str]]:
    secrets: dict[str, Secret] = {}
    unreadable: dict[str, str] = {}
    for row in rows:
        try:
            secrets[row["metadata"]["name"]] = secret(row)
        except ValueError as error:
            unreadable[row["metadata"]["name"]] = f"its data is not base64 ({error})"
    return secrets, unreadable
