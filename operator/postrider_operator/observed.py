"""Objects as the API server shows them, in slim form: only what planning and applying look at is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from postrider_operator.kinds import Resource
from postrider_operator.kinds.resource import GROUP

#: Labels and annotations whose name begins so are kept.
KEPT = (f"{GROUP}/", "app.kubernetes.io/", "controller-revision-hash")

Raw = bytes | msgspec.Raw
R = TypeVar("R", bound=Resource)
S = TypeVar("S", bound=msgspec.Struct)


class Owner(msgspec.Struct, frozen=True, rename="camel"):
    """An ownerReference."""

    uid: str = ""
    controller: bool = False


class Meta(msgspec.Struct, rename="camel", omit_defaults=True):
    """Metadata of an object."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[Owner, ...] = ()

    def __post_init__(self) -> None:
        self.labels = _kept(self.labels)
        self.annotations = _kept(self.annotations)

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """Changes when something changed that an apply could have to mend; not with a mere status.

        Kinds with a status count their specification in metadata.generation; others have only resourceVersion.
        """
        if not self.generation:
            return self.uid, self.resource_version
        owners = tuple(owner.uid for owner in self.owner_references)
        return self.uid, self.generation, frozenset(self.labels.items()), frozenset(self.annotations.items()), owners


class Identity(msgspec.Struct, rename="camel"):
    """As much of metadata as says which object it is, in which state."""

    resource_version: str
    namespace: str = ""
    name: str = ""


class _Identified(msgspec.Struct):
    metadata: Identity


_identified = msgspec.json.Decoder(_Identified).decode


def identity(raw: Raw) -> Identity:
    """Which object it is. Raises msgspec.MsgspecError."""
    return _identified(raw).metadata


class MetaOnly(msgspec.Struct):
    """An object of which only metadata is kept."""

    metadata: Meta


class Waiting(msgspec.Struct, frozen=True):
    """Why a container does not run."""

    reason: str = ""
    message: str = ""


class ContainerState(msgspec.Struct, frozen=True):
    """The state of one container; `waiting` is set while it does not run."""

    waiting: Waiting | None = None


class ContainerStatus(msgspec.Struct, frozen=True):
    """One container of a pod."""

    name: str = ""
    state: ContainerState = ContainerState()


class Condition(msgspec.Struct, frozen=True):
    """A condition of a pod."""

    type: str = ""
    status: str = ""


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """Where a pod is and how it fares."""

    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(msgspec.Struct):
    """A pod of a mail server."""

    metadata: Meta
    status: PodStatus = PodStatus()

    @property
    def ready(self) -> bool:
        """The kubelet's Ready condition."""
        return any(row.type == "Ready" and row.status == "True" for row in self.status.conditions)

    @property
    def trouble(self) -> str:
        """Why a container does not run, "" where none is in trouble; mere start-up is none."""
        for row in (*self.status.init_container_statuses, *self.status.container_statuses):
            waiting = row.state.waiting
            if waiting is not None and waiting.reason not in ("", "ContainerCreating", "PodInitializing"):
                return f"{waiting.reason}: {waiting.message}" if waiting.message else waiting.reason
        return ""


class StatefulSetStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How far a StatefulSet is."""

    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    update_revision: str = ""


class StatefulSet(msgspec.Struct):
    """A StatefulSet."""

    metadata: Meta
    status: StatefulSetStatus = StatefulSetStatus()


class Ingress(msgspec.Struct, frozen=True):
    """One address of a load balancer."""

    ip: str = ""
    hostname: str = ""


class LoadBalancer(msgspec.Struct, frozen=True):
    """The addresses of a load balancer."""

    ingress: tuple[Ingress, ...] = ()


class ServiceStatus(msgspec.Struct, frozen=True, rename="camel"):
    """Where a Service is reached from outside."""

    load_balancer: LoadBalancer = LoadBalancer()


class ServiceSpec(msgspec.Struct, frozen=True):
    """Where a Service is reached from inside."""

    cluster_ips: tuple[str, ...] = msgspec.field(default=(), name="clusterIPs")


class Service(msgspec.Struct):
    """A Service."""

    metadata: Meta
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses of the load balancer where it has one, else those inside the cluster."""
        outside = tuple(row.ip or row.hostname for row in self.status.load_balancer.ingress)
        return outside or tuple(address for address in self.spec.cluster_ips if address != "None")


class _Custom(msgspec.Struct):
    metadata: Meta
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}


_custom = msgspec.json.Decoder(_Custom).decode


def resource(kind: type[R]) -> Callable[[Raw], R]:
    """A reader of one of our kinds. The reader raises ValueError for what the schema would refuse."""

    def read(raw: Raw) -> R:
        found = _custom(raw)
        content = {"metadata": msgspec.to_builtins(found.metadata), "spec": found.spec, "status": found.status}
        return kind.model_validate(content)

    return read


def reader(kind: type[S]) -> Callable[[Raw], S]:
    """A reader of one of the slim types above. The reader raises ValueError."""
    return msgspec.json.Decoder(kind).decode


def _kept(pairs: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in pairs.items() if name.startswith(KEPT)}
