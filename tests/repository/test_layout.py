"""The layout the project promises."""

import filecmp
import operator
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_operator_folder_does_not_shadow_the_standard_library():
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert Path(operator.__file__).is_relative_to(sysconfig.get_paths()["stdlib"])


def test_chart_carries_the_same_crds():
    ours, charts = ROOT / "crds", ROOT / "helm" / "postrider" / "crds"
    names = sorted(path.name for path in ours.glob("*.yaml"))
    assert len(names) == 5
    assert names == sorted(path.name for path in charts.glob("*.yaml"))
    _, different, errors = filecmp.cmpfiles(ours, charts, names, shallow=False)
    assert not different
    assert not errors


@pytest.mark.parametrize("name", ["Dockerfile.operator", "Dockerfile.server"])
def test_images_build_from_any_local_base(name):
    assert (ROOT / name).read_text().splitlines()[0].startswith("ARG BASE=")
