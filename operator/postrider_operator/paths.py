"""Where objects live in the API: paths of collections, of single objects and of their status."""

from __future__ import annotations

from collections.abc import Mapping

from postrider_operator.kinds import KINDS
from postrider_operator.plan.desired import API_VERSIONS
from postrider_operator.world import Ref

PLURALS: Mapping[str, str] = {
    "ConfigMap": "configmaps",
    "NetworkPolicy": "networkpolicies",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Pod": "pods",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Secret": "secrets",
    "Service": "services",
    "StatefulSet": "statefulsets",
    **{kind.INFO.kind: kind.INFO.plural for kind in KINDS},
}


def collection(kind: str, namespace: str) -> str:
    """The collection of a kind in a namespace, in all of them with ""."""
    version = API_VERSIONS[kind]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{root}/namespaces/{namespace}/{PLURALS[kind]}" if namespace else f"{root}/{PLURALS[kind]}"


def path(ref: Ref) -> str:
    """One object."""
    return f"{collection(ref.kind, ref.namespace)}/{ref.name}"


def status_path(ref: Ref) -> str:
    """The status subresource of one object."""
    return f"{path(ref)}/status"
