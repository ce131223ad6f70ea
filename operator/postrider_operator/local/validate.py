"""Objects against the schemas of the CRDs, CEL rules included: what an API server would refuse is refused here too."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import celpy
import jsonschema
from celpy.adapter import json_to_cel
from pydantic import ValidationError

from postrider_operator.kinds import BY_NAME
from postrider_operator.kinds.resource import API_VERSION, Metadata
from postrider_operator.local.documents import Document, Place, Problem
from postrider_operator.schemas import Schema, object_schema

#: Kinds beside our own that local mode reads, with their apiVersion.
OTHERS = {"Secret": "v1"}

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
#: Where a schema has its CEL rules.
_RULES = "x-kubernetes-validations"
_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
}


def is_ours(document: Document) -> bool:
    """Whether local mode reads this kind of object."""
    return document.kind in BY_NAME or document.kind in OTHERS


def misnamed(document: Document) -> Problem | None:
    """What is wrong with the kind itself; None where it is one of ours, or an object for somebody else."""
    if not document.kind:
        return document.problem(("kind",), "is required")
    group = str(document.data.get("apiVersion", "")).split("/")[0]
    if group != API_VERSION.split("/")[0] or document.kind in BY_NAME:
        return None
    close = difflib.get_close_matches(document.kind, BY_NAME, 1)
    hint = f"; did you mean {close[0]}?" if close else f": {group} has {', '.join(BY_NAME)}"
    return document.problem(("kind",), f"unknown kind{hint}")


def problems(document: Document, before: Document | None) -> list[Problem]:
    """What an API server would say of the object; `before` is the object as it was accepted last."""
    found = list(_frame(document))
    if found:
        return found
    if document.kind in OTHERS:
        return list(_secret(document))
    schema = _schema(document.kind)
    validator = _validator(document.kind)
    for error in validator.iter_errors(document.data):
        found += _told(document, error)
    if found:
        return sorted(found, key=lambda problem: problem.line)
    last = before.data if before is not None else None
    return list(_rules(document, schema, document.data, last, ()))


def _frame(document: Document) -> Iterator[Problem]:
    version = OTHERS.get(document.kind, API_VERSION)
    if document.data.get("apiVersion") != version:
        yield document.problem(("apiVersion",), f"must be {version}")
    metadata = document.metadata
    if not metadata.get("name"):
        yield document.problem(("metadata", "name"), "is required")
        return
    try:
        Metadata.model_validate(metadata)
    except ValidationError as error:
        for row in error.errors():
            wrong = f"must be text; put quotes around {row['input']!r}" if row["type"] == "string_type" else row["msg"]
            yield document.problem(("metadata", *row["loc"]), wrong)
        return
    if not _NAME.fullmatch(document.name) or len(document.name) > 253:
        message = f"{document.name!r} is not a name: lower-case letters, digits, hyphens and dots (RFC 1123)"
        yield document.problem(("metadata", "name"), message)


def _secret(document: Document) -> Iterator[Problem]:
    for field in ("data", "stringData"):
        values = document.data.get(field, {})
        if values is None:
            continue
        if not isinstance(values, Mapping):
            yield document.problem((field,), "must be a mapping")
            continue
        for key, value in values.items():
            if not isinstance(value, str):
                yield document.problem((field, key), f"must be text; put quotes around {value!r}")


@functools.cache
def _schema(kind: str) -> Schema:
    return object_schema(BY_NAME[kind])


@functools.cache
def _validator(kind: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(_closed(_schema(kind)))


def _closed(schema: Schema) -> Schema:
    """The schema refusing unknown fields, as kubectl does."""
    result = {
        key: value for key, value in schema.items() if key == _RULES or not (key.startswith("x-") or key == "default")
    }
    if "properties" in result:
        result["properties"] = {name: _closed(part) for name, part in result["properties"].items()}
        result["additionalProperties"] = False
        if "spec" in result["properties"]:  # the object itself: what stands in metadata and status is not ours to judge
            result["properties"] |= {"metadata": {"type": "object"}, "status": {}}
    if "items" in result:
        result["items"] = _closed(result["items"])
    return result


def _told(document: Document, error: jsonschema.ValidationError) -> Iterator[Problem]:
    place: Place = tuple(error.absolute_path)
    instance: Any = error.instance
    wanted: Any = error.validator_value
    match error.validator:
        case "required":
            yield from (document.problem((*place, name), "is required") for name in wanted if name not in instance)
        case "additionalProperties":
            known = list(error.schema["properties"]) if isinstance(error.schema, Mapping) else []
            for name in sorted(set(map(str, instance)) - set(known)):
                close = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {close[0]}?" if close else ""
                yield document.problem((*place, name), f"unknown field{hint}")
        case "type":
            rules = error.schema.get(_RULES, ()) if isinstance(error.schema, Mapping) else ()
            hint = f": {rules[0]['message']}" if rules and isinstance(instance, int) else ""  # 3 instead of 3d
            yield document.problem(place, f"must be {_TYPES.get(wanted, wanted)}, not {instance!r}{hint}")
        case "anyOf":
            yield document.problem(place, f"must be text or a whole number, not {instance!r}")
        case "enum":
            yield document.problem(place, f"must be {' or '.join(map(str, wanted))}, not {instance!r}")
        case _:
            yield document.problem(place, error.message)


def _rules(document: Document, schema: Schema, value: Any, last: Any, place: Place) -> Iterator[Problem]:
    """The CEL rules of a value and of all its parts that are broken."""
    for rule in schema.get(_RULES, ()):
        if "oldSelf" in rule["rule"] and last is None:
            continue  # a transition rule, and there is nothing it went over from
        if not _holds(rule["rule"], value, last):
            inner = tuple(part for part in rule.get("fieldPath", "").split(".") if part)
            yield document.problem((*place, *inner), rule["message"])
    if isinstance(value, Mapping):
        for name, part in schema.get("properties", {}).items():
            if name in value:
                before = last.get(name) if isinstance(last, Mapping) else None
                yield from _rules(document, part, value[name], before, (*place, name))
    elif isinstance(value, list) and "items" in schema:
        for at, item in enumerate(value):
            yield from _rules(document, schema["items"], item, None, (*place, at))


@functools.cache
def _program(rule: str) -> celpy.Runner:
    environment = _environment()
    return environment.program(environment.compile(rule))


@functools.cache
def _environment() -> celpy.Environment:
    return celpy.Environment()


def _holds(rule: str, value: Any, last: Any) -> bool:
    activation = {"self": json_to_cel(value)}
    if last is not None:
        activation["oldSelf"] = json_to_cel(last)
    return bool(_program(rule).evaluate(activation))
