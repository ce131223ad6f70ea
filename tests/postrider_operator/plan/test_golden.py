"""Golden directories: users' YAML in, step by step; what is published, made and said out.

`POSTRIDER_GOLDEN=write pytest tests/postrider_operator/plan/test_golden.py` writes what is expected anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

GOLDEN = Path(__file__).parent / "golden"
#: Cases in which whole objects are compared, not their names alone.
WHOLE = {"objects"}


class Dumper(yaml.SafeDumper):
    """Long texts stay on their lines; no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def masked(value: Any) -> Any:
    """A value without what is random: keys, verifiers, certificates, hashes."""
    if isinstance(value, dict):
        return {key: masked(part) for key, part in value.items() if part not in (None, "", [], {})}
    if isinstance(value, list | tuple):
        return [masked(part) for part in value]
    if isinstance(value, str):
        text = re.sub(r"-----BEGIN ([A-Z ]+)-----.*-----END \1-----\n?", r"<\1>", value, flags=re.DOTALL)
        text = re.sub(r"p=[A-Za-z0-9+/=]{40,}", "p=<public key>", text)
        text = re.sub(r"^\$(argon2id|fast)\$.*|^(SCRAM-SHA-256)\$.*", r"<\1\2>", text)
        return re.sub(r"^uid-Secret-([a-z0-9.-]+)-\d+/\d+/", r"<uid and version of \1>/", text)
    return value


def outcome(namespace: Any, whole: bool) -> str:
    """Everything a step led to."""
    snapshot = namespace.snapshot()
    published = masked(msgspec.to_builtins(snapshot)) if snapshot else None
    objects: list[Any] = []
    for ref, row in sorted(namespace.objects.items(), key=lambda pair: (pair[0].kind, pair[0].name)):
        if ref in namespace.declared:
            continue
        if whole and ref.kind not in ("ConfigMap", "Secret", "DkimKey"):
            objects.append(_plain(row))
        else:
            owners = [f"{o['kind']}/{o['name']}" for o in row["metadata"].get("ownerReferences", ())]
            objects.append(f"{ref.kind}/{ref.name}" + (f" of {owners[0]}" if owners else ""))
    statuses = {
        f"{ref.kind}/{ref.name}": masked(row["status"])
        for ref, row in sorted(namespace.objects.items(), key=lambda pair: (pair[0].kind, pair[0].name))
        if row["status"]
    }
    events = [f"{event.type} {event.ref}: {event.reason}: {event.message}" for event in namespace.events]
    parts = {"published": published, "objects": objects, "statuses": statuses, "events": events}
    return yaml.dump(parts, Dumper=Dumper, sort_keys=False, width=1000, allow_unicode=True)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    metadata = {
        key: value
        for key, value in row["metadata"].items()
        if key not in ("uid", "resourceVersion", "generation", "creationTimestamp")
    }
    metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != "postrider.dev/intent-hash"}
    return {**{k: v for k, v in row.items() if k != "status"}, "metadata": metadata}


@pytest.mark.parametrize("case", sorted(path.name for path in GOLDEN.iterdir()))
def test_golden(namespace: Any, case: str) -> None:
    for step in sorted((GOLDEN / case).glob("*.in.yaml")):
        namespace.events = []
        namespace.now += 60
        namespace.declare(step.read_text(encoding="utf-8"))
        namespace.settle()
        found = outcome(namespace, case in WHOLE)
        expected = step.with_name(step.name.replace(".in.", ".out."))
        if os.environ.get("POSTRIDER_GOLDEN") == "write":
            expected.write_text(found, encoding="utf-8")
        assert found == expected.read_text(encoding="utf-8"), f"{case}: {step.name}"
