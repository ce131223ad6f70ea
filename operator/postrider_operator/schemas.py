"""CustomResourceDefinitions from the typed models: `python -m postrider_operator.schemas DIRECTORY...` writes them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from postrider_operator.kinds import KINDS, Resource
from postrider_operator.kinds.resource import GROUP, VERSION, Column

Schema = dict[str, Any]

#: Keywords of JSON Schema that a structural schema knows too; everything else pydantic says is left out.
_KEYWORDS = (
    "type",
    "format",
    "description",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "pattern",
)
#: How long a list or map without a limit of its own may get: CEL's cost estimate needs one.
_MAX_ITEMS = 512


def definition(kind: type[Resource]) -> Schema:
    """The CustomResourceDefinition of one kind."""
    info = kind.INFO
    subresources: Schema = {"status": {}}
    if info.scale:
        subresources["scale"] = {"specReplicasPath": info.scale[0], "statusReplicasPath": info.scale[1]}
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": object_schema(kind)},
        "subresources": subresources,
        "additionalPrinterColumns": [_column(column) for column in info.columns],
    }
    if info.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in info.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{info.plural}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "postrider"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": info.kind,
                "listKind": f"{info.kind}List",
                "plural": info.plural,
                "singular": info.kind.lower(),
                "shortNames": list(info.short_names),
                "categories": ["mail"],
            },
            "versions": [version],
        },
    }


def object_schema(kind: type[Resource]) -> Schema:
    """The structural schema of one kind: apiVersion, kind, metadata, spec and status."""
    whole = kind.model_json_schema(by_alias=True)
    definitions = whole.get("$defs", {})
    spec = _structural(whole["properties"]["spec"], definitions)
    spec.pop("default", None)
    status_schema = kind.STATUS.model_json_schema(by_alias=True, mode="validation")
    status = _structural(status_schema, status_schema.get("$defs", {}))
    status.pop("required", None)
    schema: Schema = {
        "type": "object",
        "description": _prose(kind.__doc__),
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {GROUP}/{VERSION}."},
            "kind": {"type": "string", "description": f"Always {kind.INFO.kind}."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": _without_defaults(status),
        },
    }
    if kind.SPEC_REQUIRED:
        schema["required"] = ["spec"]
    if kind.INFO.rules:
        schema["x-kubernetes-validations"] = [rule.entry() for rule in kind.INFO.rules]
    return schema


def _structural(schema: Schema, definitions: Schema) -> Schema:
    """One node of pydantic's schema as a structural one: references inlined, null and titles gone."""
    node = _resolved(schema, definitions)
    extensions = {key: value for key, value in node.items() if key.startswith("x-kubernetes-")}
    result: Schema = {key: node[key] for key in _KEYWORDS if node.get(key) is not None}
    if "description" in result:
        result["description"] = _prose(result["description"])
    if extensions.get("x-kubernetes-int-or-string"):
        result.pop("type", None)
        result["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if isinstance(result.get("default"), dict | list) or result.get("default") == "":
        del result["default"]  # the parts have their own, and what is empty need not be written into users' objects
    if "const" in node:
        result["enum"] = [node["const"]]
    if "properties" in node:
        result["properties"] = {name: _structural(part, definitions) for name, part in node["properties"].items()}
        if node.get("required"):
            result["required"] = list(node["required"])
    elif node.get("type") == "object" and not extensions.get("x-kubernetes-preserve-unknown-fields"):
        values = node.get("additionalProperties")
        result["additionalProperties"] = _structural(values, definitions) if isinstance(values, dict) else True
        result.setdefault("maxProperties", _MAX_ITEMS)
    if "items" in node:
        result["items"] = _structural(node["items"], definitions)
    return result | extensions


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    """The schema with its $ref and its optional part put in place; what stands beside them wins."""
    node = dict(schema)
    if "anyOf" in node:
        parts = [part for part in node.pop("anyOf") if part.get("type") != "null"]
        if len(parts) != 1:
            raise ValueError(f"a structural schema has no alternatives: {schema}")
        node = parts[0] | node
    if "allOf" in node:
        (part,) = node.pop("allOf")
        node = part | node
    if "$ref" in node:
        target = definitions[node.pop("$ref").removeprefix("#/$defs/")]
        return _resolved(target, definitions) | node
    return node


def _without_defaults(schema: Schema) -> Schema:
    """A status has no defaults: what the operator did not write is not there."""
    result = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in result:
        result["properties"] = {name: _without_defaults(part) for name, part in result["properties"].items()}
    if "items" in result:
        result["items"] = _without_defaults(result["items"])
    return result


def _column(column: Column) -> Schema:
    entry: Schema = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
    }
    return entry | ({"priority": column.priority} if column.priority else {})


def _prose(text: str | None) -> str:
    return " ".join((text or "").split())


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def text(kind: type[Resource]) -> str:
    """The CRD as the file in crds/ has it."""
    body = yaml.dump(definition(kind), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return f"# Generated from operator/postrider_operator/kinds by `make crds`.\n{body}"


def file_name(kind: type[Resource]) -> str:
    """Name of the kind's file in crds/."""
    return f"{GROUP}_{kind.INFO.plural}.yaml"


def main(arguments: list[str]) -> int:
    """Write all CRDs into each of the directories named."""
    for directory in map(Path, arguments):
        directory.mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            (directory / file_name(kind)).write_text(text(kind), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
