"""Generated objects - keys, passwords, the CA - as files of mode 0600; what is there is never made anew."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from postrider_operator.local.private import write_private
from postrider_operator.plan.desired import Object
from postrider_operator.world import Child, Ref, Secret


class Generated:
    """The objects under one directory, by Ref."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._objects: dict[Ref, Object] = {}
        for file in sorted(path.glob("*.json")):
            row = json.loads(file.read_bytes())
            self._objects[_ref(row)] = row

    def __contains__(self, ref: Ref) -> bool:
        return ref in self._objects

    def create(self, row: Object, *, replace: bool = False) -> None:
        """Keep an object; one that is there already stays, unless it is to be replaced."""
        ref = _ref(row)
        if ref in self._objects and not replace:
            return
        write_private(self._file(ref), json.dumps(row, indent=1).encode())
        self._objects[ref] = row

    def delete(self, ref: Ref) -> None:
        """Forget an object."""
        if self._objects.pop(ref, None) is not None:
            self._file(ref).unlink(missing_ok=True)

    def of(self, kind: str) -> Iterator[Object]:
        """All objects of a kind, with a uid and a resourceVersion."""
        return (with_version(row) for ref, row in self._objects.items() if ref.kind == kind)

    def _file(self, ref: Ref) -> Path:
        return self._path / f"{ref.kind.lower()}-{quote(ref.name, safe='')}.json"


def with_version(row: Mapping[str, Any]) -> Object:
    """An object with the uid and resourceVersion an API server would give it; the version follows the content."""
    metadata = row["metadata"]
    body = {key: value for key, value in row.items() if key not in ("metadata", "status")}
    version = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
    named = {"uid": f"local-{row['kind']}-{metadata['name']}", "resourceVersion": version, "generation": 1}
    return {**row, "metadata": {**metadata, **named}}


def secret(row: Object) -> Secret:
    """A Secret object, given or generated, as planning sees it. Raises ValueError for data that is not base64."""
    data = {key: base64.b64decode(value, validate=True) for key, value in (row.get("data") or {}).items()}
    data |= {key: value.encode() for key, value in (row.get("stringData") or {}).items()}
    metadata = row["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return Secret(metadata["name"], metadata["uid"], metadata["resourceVersion"], data, labels, annotations)


def child(namespace: str, row: Object) -> Child:
    """The metadata of an object."""
    metadata = row["metadata"]
    ref = Ref(row["kind"], namespace, metadata["name"])
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return Child(ref, metadata["uid"], metadata["resourceVersion"], labels, annotations)


def _ref(row: Mapping[str, Any]) -> Ref:
    return Ref(row["kind"], row["metadata"].get("namespace", "default"), row["metadata"]["name"])
