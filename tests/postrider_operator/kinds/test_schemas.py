"""The CRDs: generated, complete, structural; what a field means is written at every field."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from postrider_operator import schemas
from postrider_operator.kinds import KINDS

ROOT = Path(__file__).parents[3]
FIXED = {"apiVersion", "kind", "metadata"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.INFO.kind)
@pytest.mark.parametrize("directory", ["crds", "helm/postrider/crds"])
def test_the_files_are_what_the_models_say(kind: Any, directory: str) -> None:
    path = ROOT / directory / schemas.file_name(kind)
    assert path.read_text(encoding="utf-8") == schemas.text(kind), "run `make crds`"


def test_there_are_no_other_files() -> None:
    for directory in ("crds", "helm/postrider/crds"):
        names = {path.name for path in (ROOT / directory).iterdir()}
        assert names == {schemas.file_name(kind) for kind in KINDS}


def fields(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every node of a schema with its path."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from fields(part, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.INFO.kind)
def test_every_field_is_described(kind: Any) -> None:
    schema = schemas.object_schema(kind)
    nameless = [
        path
        for path, node in fields(schema)
        if not node.get("description") and path != ".metadata" and not path.endswith("[]")
    ]
    assert nameless == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.INFO.kind)
def test_schemas_are_structural(kind: Any) -> None:
    for path, node in fields(schemas.object_schema(kind)):
        assert "$ref" not in node, path
        assert ("type" in node) != bool(node.get("x-kubernetes-int-or-string")), path
        if "anyOf" in node:
            assert node["x-kubernetes-int-or-string"], path
        assert not isinstance(node.get("default"), dict | list), path
        for rule in node.get("x-kubernetes-validations", ()):
            assert rule["message"], path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.INFO.kind)
def test_a_definition_has_what_kubectl_shows(kind: Any) -> None:
    spec = schemas.definition(kind)["spec"]
    version = spec["versions"][0]
    assert spec["names"]["categories"] == ["mail"]
    assert spec["names"]["shortNames"]
    assert version["subresources"]["status"] == {}
    names = [column["name"] for column in version["additionalPrinterColumns"]]
    assert "Ready" in names
    assert names[-1] == "Age"
    conditions = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_files_are_plain_yaml() -> None:
    for kind in KINDS:
        assert yaml.safe_load(schemas.text(kind)) == schemas.definition(kind)
