"""A status is cut to what an outdated CustomResourceDefinition knows."""

from postrider_operator.crds import Served, pruned

SCHEMA = {
    "properties": {
        "conditions": {"items": {"properties": {"type": {}, "status": {}}}},
        "labels": {"additionalProperties": {"type": "string"}},
        "anything": {"x-kubernetes-preserve-unknown-fields": True},
    }
}


def test_unknown_properties_are_left_out_at_every_depth() -> None:
    status = {
        "conditions": [{"type": "Ready", "status": "True", "novelty": 1}],
        "labels": {"a": "b"},
        "anything": {"x": {"y": 1}},
        "newField": 3,
    }
    assert pruned(status, SCHEMA) == {
        "conditions": [{"type": "Ready", "status": "True"}],
        "labels": {"a": "b"},
        "anything": {"x": {"y": 1}},
    }


def test_kinds_that_are_up_to_date_are_left_alone() -> None:
    served = Served({"Mailbox": SCHEMA})
    assert served.pruned("Alias", {"newField": 3}) == {"newField": 3}
    assert served.pruned("Mailbox", {"newField": 3}) == {}
    assert served.command
    assert not Served().command
