"""A pod's volumes as directories here; ConfigMaps and Secrets are renewed by an atomic swap, as the kubelet does."""

import base64
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kube.api import Api, ApiError, Object
from kube.claims import claim_directory

KINDS = {"configMap": ("configmaps", "name"), "secret": ("secrets", "secretName")}


class MissingSourceError(Exception):
    """A ConfigMap or Secret that is not optional does not exist (yet): the pod has to wait."""


@dataclass
class Volumes:
    """The volumes of one pod: a directory each, below the pod's own, or below the claims' for those that survive it."""

    api: Api
    namespace: str
    pod_directory: Path
    claims: Path
    generation: int = 0
    contents: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def mount(self, pod: Object) -> None:
        """Makes or renews every volume; raises MissingSourceError as long as something required is missing."""
        self.generation += 1
        for volume in pod["spec"].get("volumes", ()):
            sources = _sources(volume)
            if sources is not None:
                self._project(volume["name"], sources)
            elif "persistentVolumeClaim" in volume:
                self._claim(volume["persistentVolumeClaim"]["claimName"]).mkdir(parents=True, exist_ok=True)
            else:
                self._of(volume["name"]).mkdir(parents=True, exist_ok=True)

    def paths(self, pod: Object, container: Object) -> dict[str, str]:
        """Mount path in the container -> directory of this machine."""
        claims = {
            volume["name"]: self._claim(volume["persistentVolumeClaim"]["claimName"])
            for volume in pod["spec"].get("volumes", ())
            if "persistentVolumeClaim" in volume
        }
        found = {}
        for mount in container.get("volumeMounts", ()):
            directory = claims.get(mount["name"], self._of(mount["name"])) / mount.get("subPath", "")
            found[mount["mountPath"].rstrip("/")] = str(directory).rstrip("/")
        return found

    def remove(self) -> None:
        """The pod is gone: its own directories go with it, its claims stay."""
        shutil.rmtree(self.pod_directory, ignore_errors=True)

    def _of(self, volume: str) -> Path:
        return self.pod_directory / volume

    def _claim(self, claim: str) -> Path:
        found = self.api.get(f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims/{claim}")
        return claim_directory(self.claims, found["metadata"]["uid"])

    def _project(self, volume: str, sources: list[Object]) -> None:
        files: dict[str, bytes] = {}
        for source in sources:
            files.update(self.read(source))
        if self.contents.get(volume) == files:
            return
        self.contents[volume] = files
        swap(self._of(volume), files, self.generation)

    def read(self, source: Object) -> dict[str, bytes]:
        """The files of one source (`{"secret": {"name": ...}}`); each is read on its own, so generations can mix."""
        for kind, (plural, _) in KINDS.items():
            if kind in source:
                wanted = source[kind]
                path = f"/api/v1/namespaces/{self.namespace}/{plural}/{wanted['name']}"
                try:
                    found = self.api.get(path)
                except ApiError as error:
                    if error.code == 404 and wanted.get("optional"):
                        return {}
                    raise MissingSourceError(f"{plural} {wanted['name']}: {error}") from error
                return _pick(_data(found), wanted)
        raise ValueError(f"a volume source that is not played: {sorted(source)}")


def _sources(volume: Object) -> list[Object] | None:
    """What is projected into the volume; None when it is a directory of its own."""
    if "projected" in volume:
        sources: list[Object] = volume["projected"]["sources"]
        return [source for source in sources if "serviceAccountToken" not in source and "downwardAPI" not in source]
    for kind, (_, key) in KINDS.items():
        if kind in volume:
            return [{kind: {**volume[kind], "name": volume[kind][key]}}]
    return None


def _data(found: Object) -> dict[str, bytes]:
    if "type" in found:  # a Secret; its values are base64
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    text = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    return text | {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}


def _pick(data: dict[str, bytes], wanted: Object) -> dict[str, bytes]:
    """The keys that `items` names, at the paths it gives; all of them without it."""
    if "items" not in wanted:
        return data
    missing = [item["key"] for item in wanted["items"] if item["key"] not in data]
    if missing and not wanted.get("optional"):
        raise MissingSourceError(f"{wanted['name']} has no {', '.join(missing)}")
    return {item["path"]: data[item["key"]] for item in wanted["items"] if item["key"] in data}


def swap(directory: Path, files: dict[str, bytes], generation: int) -> None:
    """Writes the files beside the present ones, then swaps the link `..data`; every name is a link through it."""
    directory.mkdir(parents=True, exist_ok=True)
    data = directory / f"..{generation:08d}"
    for name, content in files.items():
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    data.mkdir(exist_ok=True)
    link = directory / "..data"
    old = link.readlink() if link.is_symlink() else None
    fresh = directory / "..data_tmp"
    fresh.symlink_to(data.name)
    fresh.rename(link)
    for name in {name.split("/", 1)[0] for name in files}:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")
    for entry in directory.iterdir():
        if not entry.name.startswith("..") and not entry.exists():
            entry.unlink()
    if old:
        shutil.rmtree(directory / old)


def rewrite(text: str, paths: dict[str, str]) -> str:
    """Mount paths in an argument or a variable become directories of this machine."""
    if not paths:
        return text
    names = "|".join(re.escape(path) for path in sorted(paths, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])({names})(?=/|$|[\s,:;\"'])", lambda match: paths[match[1]], text)


def environment(container: Object, pod: Object, secrets: Any) -> dict[str, str]:
    """The container's variables; `secrets(kind, name)` reads what a reference names."""
    fields = {
        "metadata.name": pod["metadata"]["name"],
        "metadata.namespace": pod["metadata"]["namespace"],
        "metadata.uid": pod["metadata"]["uid"],
        "status.podIP": pod["status"].get("podIP", ""),
        "spec.nodeName": pod["spec"].get("nodeName", ""),
    }
    found: dict[str, str] = {"HOSTNAME": pod["metadata"]["name"]}
    for row in container.get("env", ()):
        value = row.get("value", "")
        reference = row.get("valueFrom", {})
        if "fieldRef" in reference:
            value = fields[reference["fieldRef"]["fieldPath"]]
        for kind in ("secretKeyRef", "configMapKeyRef"):
            if kind in reference:
                value = secrets(kind, reference[kind]["name"])[reference[kind]["key"]].decode()
        found[row["name"]] = expand(value, found)
    return found


def expand(text: str, variables: dict[str, str]) -> str:
    """`$(NAME)` in arguments and values, as Kubernetes expands it."""
    return re.sub(r"\$\((\w+)\)", lambda match: variables.get(match[1], match[0]), text)


def base_environment(program_directory: Path) -> dict[str, str]:
    """What an image would give: a PATH, with our installed programs first, and no variable of this shell."""
    kept = {
        name: value for name, value in os.environ.items() if name in {"LANG", "LC_ALL", "TZ", "COVERAGE_PROCESS_START"}
    }
    return {**kept, "PATH": f"{program_directory}:/usr/local/bin:/usr/bin:/bin"}
