"""The rights the operator asks for are those the chart grants, no more and no less."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from postrider_operator.rights import RIGHTS, WATCH_SECRETS, Right, lacking

RULES = Path(__file__).parents[2] / "helm/postrider/templates/_rules.tpl"
LIST_AND_WATCH = '{{ if eq .Values.secrets "watch" }}list, watch, {{ end }}'


def chart(*, watch_secrets: bool) -> list[dict[str, Any]]:
    """The rules of the template, rendered by hand: it has one expression."""
    text = RULES.read_text()
    assert LIST_AND_WATCH in text
    body = text.split('{{- define "postrider.rules" -}}')[1].split("{{- end -}}")[0]
    rendered = body.replace(LIST_AND_WATCH, "list, watch, " if watch_secrets else "")
    rules: list[dict[str, Any]] = yaml.safe_load(rendered)
    return rules


def granted(rules: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {(g, r, v) for rule in rules for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}


def needed(*rights: Right) -> set[tuple[str, str, str]]:
    return {(right.group, right.resource, verb) for right in rights for verb in right.verbs}


@pytest.mark.parametrize("watch_secrets", [True, False])
def test_the_chart_grants_just_what_is_needed(watch_secrets: bool) -> None:
    rights = (*RIGHTS, WATCH_SECRETS) if watch_secrets else RIGHTS
    assert granted(chart(watch_secrets=watch_secrets)) == needed(*rights)


def test_nothing_is_lacking_under_the_chart() -> None:
    assert lacking((*RIGHTS, WATCH_SECRETS), chart(watch_secrets=True)) == []


def test_a_missing_right_is_named_with_what_it_is_for() -> None:
    lines = lacking((*RIGHTS, WATCH_SECRETS), chart(watch_secrets=False))
    assert lines == ["list secrets (to see changed Secrets at once)", "watch secrets (to see changed Secrets at once)"]


def test_a_right_to_single_names_is_not_the_right() -> None:
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"], "resourceNames": ["one"]}
    assert lacking([WATCH_SECRETS], [rule])
    assert not lacking([WATCH_SECRETS], [{**rule, "resourceNames": []}])
