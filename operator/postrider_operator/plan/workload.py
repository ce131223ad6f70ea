"""The StatefulSet: pods under restricted Pod Security whose template does not change when domains or mailboxes do."""

from __future__ import annotations

from typing import Any

from postrider.contract import files
from postrider_operator.kinds import MailServer
from postrider_operator.kinds.mailserver import Pod as PodSpec
from postrider_operator.kinds.texts import duration_seconds, size_bytes
from postrider_operator.plan import children, names
from postrider_operator.plan.desired import GROUP, Apply, Delete
from postrider_operator.plan.findings import Finding, Findings
from postrider_operator.plan.mine import ref
from postrider_operator.plan.secrets import name_taken
from postrider_operator.world import Ref, World

SNAPSHOT = "/etc/postrider"
DATA = "/var/lib/postrider"
MAILDIRS = "/var/mail"
#: The user the image runs as.
UID = 65532

#: Mail ports: name, the port the world knows, the one a pod without privileges takes.
MAIL_PORTS = (
    ("smtp", 25, 2525),
    ("submissions", 465, 2465),
    ("submission", 587, 2587),
    ("imap", 143, 2143),
    ("imaps", 993, 2993),
)
HEALTH_PORT = 8080
METRICS_PORT = 9090

#: Annotation of the StatefulSet: size of the volumes it makes. A claim template cannot be changed, only made anew.
#: On the claim: the size it was last given.
STORAGE = f"{GROUP}/storage"
#: Seconds a stopping pod goes on taking connections, until nobody is sent to it any more.
_LINGER = 3
#: What is left of the grace when the server is to have ended by itself.
_MARGIN = 5


def workload(world: World, server: MailServer, findings: Findings) -> tuple[list[Apply], list[Delete]]:
    """The StatefulSet, and what its volume needs to grow."""
    at = Ref("StatefulSet", world.namespace, names.mail(world.name))
    existing = children.child(world, at)
    if at in children.taken(world):
        findings.add(ref(server), name_taken(at))
        return [], []
    made = existing.annotations.get(STORAGE, "") if existing else ""
    size, applies = _volume(world, server, made, findings)
    if existing is not None and made and size_bytes(size) != size_bytes(made):
        # The pods stay; the next plan makes the StatefulSet anew, with the template that fits the volume.
        return applies, [Delete(at, existing.uid, orphan=True)]
    return [children.apply(at, {"spec": _spec(world, server, size)}, world.name, server, {STORAGE: size}), *applies], []


def broken(world: World) -> list[Delete]:
    """Pods of a superseded revision that cannot start: they would block the rollout of the one that can."""
    update = world.workload.update_revision
    return [
        Delete(Ref("Pod", world.namespace, pod.name), pod.uid)
        for pod in world.pods
        if not pod.ready and pod.trouble and pod.revision and update and pod.revision != update
    ]


def _volume(world: World, server: MailServer, made: str, findings: Findings) -> tuple[str, list[Apply]]:
    """The size the volume is to have, and the claim that asks for it where there is one; `made` where nobody knows.

    The claim is asked at every plan, so that a size it was refused is told for as long as it is wanted.
    """
    at = Ref("PersistentVolumeClaim", world.namespace, names.claim(world.name))
    claim = children.child(world, at)
    wanted, has = server.spec.storage.size, claim.annotations.get(STORAGE, "") if claim else made
    if has and size_bytes(wanted) < size_bytes(has):
        message = f"the volume has {has} and cannot shrink to {wanted}"
        action = f"Set spec.storage.size to {has}."
        findings.add(ref(server), Finding("StorageCannotShrink", message, action, blocks=False))
        wanted = has
    if claim is None:
        return wanted, []
    body = {"spec": {"resources": {"requests": {"storage": wanted}}}}
    return wanted, [children.apply(at, body, world.name, None, {STORAGE: wanted})]


def _spec(world: World, server: MailServer, size: str) -> dict[str, Any]:
    selector = names.selector(world.name)
    claim: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
    }
    if server.spec.storage.class_name is not None:
        claim["storageClassName"] = server.spec.storage.class_name
    policy = server.spec.deletion_policy
    return {
        "replicas": server.spec.replicas,
        "serviceName": names.pods(world.name),
        "selector": {"matchLabels": selector},
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": policy, "whenScaled": "Retain"},
        "template": {
            "metadata": {
                "labels": names.labels(world.name),
                "annotations": {"kubectl.kubernetes.io/default-container": "server"},
            },
            "spec": _pod(world, server),
        },
        "volumeClaimTemplates": [
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": names.VOLUME, "labels": names.labels(world.name)},
                "spec": claim,
            }
        ],
    }


def _pod(world: World, server: MailServer) -> dict[str, Any]:
    pod = server.spec.pod
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UID,
            "runAsGroup": UID,
            "fsGroup": UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": duration_seconds(pod.termination_grace),
        "containers": [_container(world, server)],
        "volumes": [
            {"name": "snapshot", "projected": {"defaultMode": 0o440, "sources": _sources(world)}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if world.defaults.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in world.defaults.pull_secrets]
    return spec | _placement(pod)


def _placement(pod: PodSpec) -> dict[str, Any]:
    tolerations = [row.model_dump(by_alias=True, exclude_none=True) for row in pod.tolerations]
    placement = {
        "nodeSelector": dict(pod.node_selector),
        "tolerations": tolerations,
        "affinity": dict(pod.affinity),
        "priorityClassName": pod.priority_class_name,
    }
    return {name: value for name, value in placement.items() if value}


def _container(world: World, server: MailServer) -> dict[str, Any]:
    grace = duration_seconds(server.spec.pod.termination_grace)
    linger = min(_LINGER, grace)  # a hook longer than the grace makes a pod invalid
    drain = max(grace - linger - _MARGIN, 1)
    resources = server.spec.pod.resources
    ports = [*((name, inner) for name, _, inner in MAIL_PORTS), ("health", HEALTH_PORT), ("metrics", METRICS_PORT)]
    return {
        "name": "server",
        "image": server.spec.image or world.defaults.image,
        "imagePullPolicy": world.defaults.pull_policy,
        "args": ["--snapshot", SNAPSHOT, "--data", DATA, "--drain-seconds", str(drain)],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {k: dict(v) for k, v in (("requests", resources.requests), ("limits", resources.limits)) if v},
        # /livez is answered while the store is being opened; how long that may take is the server's affair.
        "startupProbe": _probe("/livez", period=1, failures=600),
        "livenessProbe": _probe("/livez", period=10, failures=6),
        "readinessProbe": _probe("/readyz", period=2, failures=2),
        **({"lifecycle": {"preStop": {"sleep": {"seconds": linger}}}} if linger else {}),
        "volumeMounts": [
            {"name": "snapshot", "mountPath": SNAPSHOT, "readOnly": True},
            {"name": names.VOLUME, "mountPath": DATA},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 -- the pod's own
            *_maildirs(server),
        ],
    }


def _maildirs(server: MailServer) -> list[dict[str, Any]]:
    """Where other programs look for mail, in a pod whose bodies are files: the same volume once more."""
    if server.spec.storage.blobs != "maildir":
        return []
    return [{"name": names.VOLUME, "mountPath": MAILDIRS, "subPath": "maildir"}]


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "health"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _sources(world: World) -> list[dict[str, Any]]:
    """Every object a snapshot can consist of, there or not: what is added later changes no template."""
    field = {"ConfigMap": "configMap", "Secret": "secret"}
    return [
        {field[kind]: {"name": names.part(world.name, suffix), "optional": True}}
        for suffix, kind in files.OBJECTS.items()
    ]
