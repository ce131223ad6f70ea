"""One running cluster as a user sees it: kubectl, objects by kind and name, namespaces, service-account tokens."""

import json
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from kube.api import Api, Object

CORE, APPS, POSTRIDER = "/api/v1", "/apis/apps/v1", "/apis/postrider.dev/v1alpha1"

COLLECTIONS = {
    "ConfigMap": f"{CORE}/{{}}configmaps",
    "Event": f"{CORE}/{{}}events",
    "PersistentVolumeClaim": f"{CORE}/{{}}persistentvolumeclaims",
    "Pod": f"{CORE}/{{}}pods",
    "Secret": f"{CORE}/{{}}secrets",
    "Service": f"{CORE}/{{}}services",
    "StatefulSet": f"{APPS}/{{}}statefulsets",
    "Deployment": f"{APPS}/{{}}deployments",
    "PodDisruptionBudget": "/apis/policy/v1/{}poddisruptionbudgets",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/{}networkpolicies",
    "Lease": "/apis/coordination.k8s.io/v1/{}leases",
    "MailServer": f"{POSTRIDER}/{{}}mailservers",
    "MailDomain": f"{POSTRIDER}/{{}}maildomains",
    "Mailbox": f"{POSTRIDER}/{{}}mailboxes",
    "Alias": f"{POSTRIDER}/{{}}aliases",
    "DkimKey": f"{POSTRIDER}/{{}}dkimkeys",
}
"""Where the objects of each kind live; `{}` is the namespace's part of the path."""


T = TypeVar("T")


class RefusedError(Exception):
    """kubectl ended with an error; the text is what it said."""


@dataclass
class Cluster:
    """A cluster, seen by its administrator."""

    api: Api
    kubectl_path: Path
    kubeconfig: Path
    prefix: tuple[str, ...] = ()

    def kubectl(self, *args: str, stdin: str = "") -> str:
        """Runs kubectl; its output, or `RefusedError` with what it said."""
        argv = [*self.prefix, str(self.kubectl_path), "--kubeconfig", str(self.kubeconfig), *args]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            raise RefusedError(done.stderr.strip())
        return done.stdout

    def apply(self, namespace: str, *objects: Object | str) -> str:
        """`kubectl apply` of objects, or of YAML text, into a namespace."""
        parts = [part if isinstance(part, str) else json.dumps(part) for part in objects]
        return self.kubectl("apply", "-n", namespace, "-f", "-", stdin="\n---\n".join(parts))

    def path(self, kind: str, namespace: str, name: str = "") -> str:
        """The API path of an object or, without a name, of a namespace's collection; of all with namespace `""`."""
        collection = COLLECTIONS[kind].format(f"namespaces/{namespace}/" if namespace else "")
        return f"{collection}/{name}" if name else collection

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        return self.api.find(self.path(kind, namespace, name))

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """The object; `ApiError` when there is none."""
        return self.api.get(self.path(kind, namespace, name))

    def list(self, kind: str, namespace: str, selector: str = "") -> list[Object]:
        """All objects of a kind in a namespace, those of a label selector when it is given."""
        items = self.api.get(self.path(kind, namespace), labelSelector=selector)["items"]
        return [{"kind": kind, **item} for item in items]

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Asks for the deletion; does not wait."""
        self.api.delete(self.path(kind, namespace, name))

    def condition(self, kind: str, namespace: str, name: str, type_: str = "Ready") -> Object:
        """One condition of an object; an empty one while it has none."""
        found = self.find(kind, namespace, name) or {}
        return condition(found, type_)

    def wait_ready(self, kind: str, namespace: str, name: str, seconds: float = 60.0) -> Object:
        """Waits until the object is Ready for its present generation; the failure says its conditions."""

        def ready() -> Object | None:
            found = self.find(kind, namespace, name) or {}
            row = condition(found)
            seen = row.get("observedGeneration") == found.get("metadata", {}).get("generation")
            return found if row.get("status") == "True" and seen else None

        def why() -> str:
            return json.dumps((self.find(kind, namespace, name) or {}).get("status"), indent=1)

        return wait(f"{kind} {name} Ready", ready, seconds, why)

    @contextmanager
    def namespace(self, prefix: str, labels: dict[str, str] | None = None) -> Iterator[str]:
        """A namespace of its own for one test; deleted afterwards, without waiting for the end."""
        name = f"{re.sub('[^a-z0-9]+', '-', prefix.lower())[:40].strip('-')}-{uuid.uuid4().hex[:5]}"
        self.api.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}})
        try:
            yield name
        finally:
            self.api.delete(f"/api/v1/namespaces/{name}")

    def token(self, namespace: str, account: str, seconds: int = 7200) -> str:
        """A token of a service account, as the kubelet would ask it for a pod (TokenRequest)."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        answer = self.api.create(path, {"spec": {"expirationSeconds": seconds}})
        return str(answer["status"]["token"])


def condition(found: Object, type_: str = "Ready") -> Object:
    """One condition of an object that was read; an empty one when it has none of that type."""
    rows = found.get("status", {}).get("conditions", [])
    return next((row for row in rows if row["type"] == type_), {})


def wait(what: str, probe: Callable[[], T | None], seconds: float = 60.0, why: Callable[[], str] = str) -> T:
    """Asks until the answer is neither None nor False; a TimeoutError names what was waited for, and `why` not."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s\n{why()}")
        time.sleep(0.1)


def documents(text: str) -> list[Any]:
    """The objects of a YAML text with several documents."""
    return [document for document in yaml.safe_load_all(text) if document]
