"""The frozen picture of everything one MailServer depends on: declared, observed and generated; input of plan().

Who builds it (the reconciler from the API, local mode from files) reads the world once and hands it over; nothing in
here is read again or changed while planning. A World belongs to one (namespace, MailServer name) and carries all
objects of that namespace: `plan` picks what is its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from postrider.contract.model import Snapshot
from postrider_operator.kinds import Alias, DkimKey, Mailbox, MailDomain, MailServer


@dataclass(frozen=True, slots=True)
class Ref:
    """An object by kind and name. API versions are in `plan.desired.API_VERSIONS`."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


@dataclass(frozen=True, slots=True)
class Secret:
    """A Secret with its content, `data` decoded. `uid` and `version` (resourceVersion) name one state of it."""

    name: str
    uid: str
    version: str
    data: Mapping[str, bytes] = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Child:
    """Metadata of an object that has, or could have, a name we use (Secret, ConfigMap, StatefulSet, Service, ...).

    Every existing object of the namespace that is in `plan.known_names(world)` or that carries our labels.
    """

    ref: Ref
    uid: str
    version: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pod:
    """A server pod and what its GET /status said. Not reachable: loaded 0 and empty `readable`."""

    name: str
    #: The kubelet's Ready condition.
    ready: bool
    #: Generation of the snapshot it serves; 0 before the first.
    loaded: int = 0
    #: Generation it refused, 0 for none, and why: a bug of the operator, never of a user.
    refused: int = 0
    refusal: str = ""
    #: Snapshot versions it can read; empty when unknown.
    readable: tuple[int, ...] = ()
    #: Value of the label controller-revision-hash.
    revision: str = ""
    #: Why a container does not run ("ImagePullBackOff: ..."), "" when it does.
    trouble: str = ""
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Workload:
    """The StatefulSet and the Service as the cluster sees them."""

    #: Pods there are, that are ready, and that are of the newest revision.
    replicas: int = 0
    ready: int = 0
    updated: int = 0
    #: The StatefulSet controller has seen the present generation.
    observed: bool = False
    update_revision: str = ""
    #: Addresses of the mail Service: load balancer ingress IPs or host names, else the cluster IPs.
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the installation (chart) says for every MailServer."""

    image: str = "postrider-server:latest"
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    #: Where the operator runs: its pods may reach health and metrics (NetworkPolicy).
    operator_namespace: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """Everything one MailServer depends on, at one moment.

    `plan(world)` is a function of this value alone: same World, same Desired.
    """

    namespace: str
    #: Name of the MailServer; it need not exist.
    name: str
    #: Seconds since the epoch.
    now: float
    server: MailServer | None
    #: Every MailServer, MailDomain, ... of the namespace, this server's or not, those being deleted included.
    servers: tuple[MailServer, ...] = ()
    domains: tuple[MailDomain, ...] = ()
    mailboxes: tuple[Mailbox, ...] = ()
    aliases: tuple[Alias, ...] = ()
    keys: tuple[DkimKey, ...] = ()
    #: The Secrets named by `wanted_secrets(world)` that exist, by name.
    secrets: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    #: Secrets that could not be read, name -> reason (no right, API error). A name in neither map does not exist.
    unreadable: Mapping[str, str] = field(default_factory=dict)
    #: Verifiers made at the edge from the passwords of `plan.secrets.unhashed(world)`: source -> verifiers.
    verifiers: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    #: What was published last, as read from the manifest and the parts; None at the very first time. Never older than
    #: what this process itself wrote.
    previous: Snapshot | None = None
    #: resourceVersion of the manifest `previous` was read with, "" when there is none.
    manifest_version: str = ""
    children: tuple[Child, ...] = ()
    pods: tuple[Pod, ...] = ()
    workload: Workload = Workload()
    #: Records seen by DNS for (name, type), both as `contract.dns.Record` writes them; absent: not asked yet.
    dns: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    defaults: Defaults = Defaults()
    #: The command that brings the CRDs up to date, "" when they are.
    crds_outdated: str = ""
    #: What the API server has just refused to make as planned, and why; sorted.
    refused: tuple[tuple[Ref, str], ...] = ()
    #: Local mode: the server is a child process; no workload is planned.
    local: bool = False
