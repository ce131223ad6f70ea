"""Gives every PersistentVolumeClaim a volume, as a provisioner would; its directory is the claim's own and stays."""

from pathlib import Path

from kube.api import Api, Object
from kube.watching import Watch


def claim_directory(directory: Path, uid: str) -> Path:
    """Where a claim's content is: a short path, because a Unix socket's may have 107 bytes."""
    return directory / uid[:8]


class Claims:
    """Local volumes below one directory, for the claims of all namespaces, on one node."""

    def __init__(self, api: Api, directory: Path, node: str) -> None:
        self.api, self.directory, self.node = api, directory, node
        self.watch = Watch(api, "/api/v1/persistentvolumeclaims", self._provide)

    def _provide(self, event: str, claim: Object) -> None:
        if event == "DELETED" or claim["spec"].get("volumeName"):
            return
        meta = claim["metadata"]
        path = claim_directory(self.directory, meta["uid"])
        path.mkdir(parents=True, exist_ok=True)
        name = f"claim-{meta['uid']}"
        here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [self.node]}
        spec = {
            "capacity": claim["spec"]["resources"]["requests"],
            "accessModes": claim["spec"]["accessModes"],
            "storageClassName": claim["spec"].get("storageClassName", ""),
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"kind": "PersistentVolumeClaim", **{key: meta[key] for key in ("namespace", "name", "uid")}},
            "local": {"path": str(path)},  # fsGroup is applied to local volumes, not to hostPath
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        }
        if self.api.find(f"/api/v1/persistentvolumes/{name}") is None:
            self.api.create("/api/v1/persistentvolumes", {"metadata": {"name": name}, "spec": spec})
