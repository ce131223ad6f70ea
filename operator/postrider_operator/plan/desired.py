"""What plan() wants done: intents as values. `apply` carries them out in a cluster, local mode in a directory.

Order for who carries them out: creates, then applies in the order given (the manifest comes last), then deletes,
statuses, events. One failed intent does not stop the others, except that the manifest is not applied when an apply of
the same plan before it failed. `deletionPolicy: Delete` needs no finalizers: what is to go has an ownerReference then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from postrider_operator.world import Ref

#: A Kubernetes object as JSON.
Object = dict[str, Any]

GROUP = "postrider.dev"
CHILD_MANAGER = "postrider-operator"
STATUS_MANAGER = "postrider-operator-status"

#: Annotation on every applied child: hash of the intent that made it.
HASH = f"{GROUP}/intent-hash"
#: Annotation on server pods: the generation they are asked to load (makes the kubelet renew its volumes at once).
POD_GENERATION = f"{GROUP}/generation"
#: Label on every child: name of the MailServer.
SERVER_LABEL = f"{GROUP}/server"

API_VERSIONS: Mapping[str, str] = {
    "ConfigMap": "v1",
    "Secret": "v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "PersistentVolumeClaim": "v1",
    "Pod": "v1",
    "StatefulSet": "apps/v1",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "MailServer": f"{GROUP}/v1alpha1",
    "MailDomain": f"{GROUP}/v1alpha1",
    "Mailbox": f"{GROUP}/v1alpha1",
    "Alias": f"{GROUP}/v1alpha1",
    "DkimKey": f"{GROUP}/v1alpha1",
}


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply (force) of a child by CHILD_MANAGER.

    `object` is complete (apiVersion, kind, metadata with labels, ownerReferences, HASH annotation) and final: when
    metadata.resourceVersion is in it (the manifest), it is sent, and a 409 means this process is stale: read again,
    plan again. Skipped while the child exists with the same HASH and has not been changed by others.
    """

    ref: Ref
    object: Object
    hash: str


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """A DKIM private key; `data`: key.pem (PKCS#8), dns.txt (the TXT record that publishes it)."""

    algorithm: Literal["RSA", "Ed25519"]


@dataclass(frozen=True, slots=True)
class PasswordMaterial:
    """A password of 160 random bits; `data`: username, password, host."""

    username: str
    host: str


@dataclass(frozen=True, slots=True)
class CaMaterial:
    """A certificate authority; `data`: ca.crt (also tls.crt), tls.key."""

    name: str


@dataclass(frozen=True, slots=True)
class LeafMaterial:
    """A server certificate signed by the CA in the Secret `ca`; `data`: tls.crt (chain), tls.key, ca.crt."""

    ca: str
    names: tuple[str, ...]
    days: int


Material = KeyMaterial | PasswordMaterial | CaMaterial | LeafMaterial


@dataclass(frozen=True, slots=True)
class Generate:
    """Plain create (POST), with random material put in by `postrider_operator.material.fill`; never an apply.

    409: what is there is used. `material` is None where the object is complete (generated DkimKeys).
    `replaces` is the resourceVersion of an expiring certificate: then it is a PUT with that resourceVersion instead,
    and a 409 means somebody else was faster. After a Generate was carried out, read the world and plan again.
    """

    ref: Ref
    object: Object
    material: Material | None = None
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a child (404 is fine), with its uid as precondition. `orphan`: leave its dependents alone."""

    ref: Ref
    uid: str
    orphan: bool = False


@dataclass(frozen=True, slots=True)
class StatusPatch:
    """The whole status of one object, to be applied by STATUS_MANAGER to its status subresource.

    Only objects whose status differs from what `World` showed are listed. lastTransitionTime is filled in.
    """

    ref: Ref
    uid: str
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event about an object; given once, with the transition it speaks of."""

    ref: Ref
    uid: str
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Desired:
    """The outcome of a plan."""

    #: Number of the snapshot that is to be served, 0 without a server. Pods whose /status says less get
    #: POD_GENERATION patched, again after 1, 2, 4 s.
    generation: int = 0
    generates: tuple[Generate, ...] = ()
    applies: tuple[Apply, ...] = ()
    deletes: tuple[Delete, ...] = ()
    statuses: tuple[StatusPatch, ...] = ()
    events: tuple[Event, ...] = ()
    #: Seconds after which to plan again though nothing happened (certificate renewal, ...); None: no need.
    again: float | None = None
    #: (name, type) of the DNS records whose presence decides about DNSReady: what `lookups` should ask for.
    questions: tuple[tuple[str, str], ...] = ()
    #: Files of the snapshot directory, as the server is to see it (what the applies above project into the pod).
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
