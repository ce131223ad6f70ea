"""What counts as changed by others, and what the API server adds by itself."""

import pytest

from postrider_operator.drift import as_applied, holds


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        ({"a": 1, "default": 2}, {"a": 1}),
        ({"spec": {"ports": [{"port": 25, "nodePort": 30025}]}}, {"spec": {"ports": [{"port": 25}]}}),
        ({"memory": "1Gi"}, {"memory": "1024Mi"}),
        ({"cpu": "1"}, {"cpu": "1000m"}),
        ({}, {"nodeSelector": {}, "tolerations": [], "name": ""}),
        ({"flag": False}, {"flag": False}),
    ],
)
def test_as_wanted(live: object, wanted: object) -> None:
    assert holds(live, wanted)


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        ({"a": 2}, {"a": 1}),
        ({}, {"a": 1}),
        ({}, {"flag": False}),
        ({"ports": [25, 26]}, {"ports": [25]}),
        ({"ports": []}, {"ports": [25]}),
        ({"memory": "1G"}, {"memory": "1Gi"}),
        ({"data": "text"}, {"data": {"key": "value"}}),
        ("8", 8),
    ],
)
def test_drifted(live: object, wanted: object) -> None:
    assert not holds(live, wanted)


def test_the_resource_version_of_an_intent_is_a_precondition_not_a_wish() -> None:
    live = {"metadata": {"name": "x", "resourceVersion": "9"}, "data": {"a": "b"}}
    assert as_applied(live, {"metadata": {"name": "x", "resourceVersion": "7"}, "data": {"a": "b"}})
    assert not as_applied(live, {"metadata": {"name": "x", "resourceVersion": "9"}, "data": {"a": "c"}})
