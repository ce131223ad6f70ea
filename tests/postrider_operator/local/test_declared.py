"""A watched directory: every change is seen, and what is wrong keeps its last good state, over a restart too."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from postrider_operator.local.declared import Declared


def box(name: str, address: str) -> str:
    head = f"apiVersion: postrider.dev/v1alpha1\nkind: Mailbox\nmetadata: {{name: {name}}}"
    return f"{head}\nspec: {{address: {address}}}\n---\n"


def addresses(declared: Declared) -> dict[str, str]:
    return {key[1]: document.data["spec"]["address"] for key, document in declared.objects.items()}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "files"
    path.mkdir()
    (path / "a.yaml").write_text(box("a", "a@x.test") + box("b", "b@x.test"))
    (path / "c.yml").write_text(box("c", "c@x.test"))
    (path / "notes.txt").write_text("no YAML: [")
    (path / ".hidden.yaml").write_text("no YAML: [")
    return path


@pytest.fixture
def declared(directory: Path, tmp_path: Path) -> Declared:
    return Declared(directory, tmp_path / "state" / "accepted.json")


def test_all_yaml_files_are_read_and_changes_are_seen(declared: Declared, directory: Path) -> None:
    assert declared.look()
    assert addresses(declared) == {"a": "a@x.test", "b": "b@x.test", "c": "c@x.test"}
    assert not declared.look()

    (directory / "d.yaml").write_text(box("d", "d@x.test"))
    (directory / "c.yml").unlink()
    assert declared.look()
    assert addresses(declared) == {"a": "a@x.test", "b": "b@x.test", "d": "d@x.test"}


def test_a_patient_look_waits_until_nobody_is_writing(declared: Declared, directory: Path) -> None:
    declared.look()
    (directory / "a.yaml").write_text("")  # an editor empties it before it writes
    assert not declared.look(patient=True)
    assert "a" in addresses(declared)

    (directory / "a.yaml").write_text(box("a", "a@x.test") + box("d", "d@x.test"))
    assert not declared.look(patient=True)
    assert declared.look(patient=True)
    assert addresses(declared) == {"a": "a@x.test", "c": "c@x.test", "d": "d@x.test"}


def test_a_wrong_object_keeps_its_last_good_state_and_others_change(declared: Declared, directory: Path) -> None:
    declared.look()
    (directory / "a.yaml").write_text(box("a", "no address") + box("b", "b@x.test") + box("new", "new@x.test"))
    declared.look()

    assert addresses(declared) == {"a": "a@x.test", "b": "b@x.test", "c": "c@x.test", "new": "new@x.test"}
    assert "a.yaml:4: mailbox/a: spec.address" in str(declared.problems[0])


def test_a_file_that_is_no_yaml_keeps_all_its_objects(declared: Declared, directory: Path) -> None:
    declared.look()
    (directory / "a.yaml").write_text("kind: [")
    (directory / "c.yml").write_text(box("c", "c@x.test") + box("e", "e@x.test"))
    declared.look()

    assert sorted(addresses(declared)) == ["a", "b", "c", "e"]
    assert [problem.line for problem in declared.problems] == [1]


def test_the_last_good_state_outlives_a_restart(declared: Declared, directory: Path) -> None:
    declared.look()
    (directory / "a.yaml").write_text("kind: [")
    again = Declared(directory, declared.memory)
    again.look()

    assert sorted(addresses(again)) == ["a", "b", "c"]
    assert stat.S_IMODE(declared.memory.stat().st_mode) == 0o600


def test_a_new_object_that_is_wrong_is_left_out(declared: Declared, directory: Path) -> None:
    (directory / "z.yaml").write_text(box("z", "nothing"))
    declared.look()

    assert "z" not in addresses(declared)


def test_an_object_declared_twice_is_told(declared: Declared, directory: Path) -> None:
    (directory / "z.yaml").write_text(box("a", "other@x.test"))
    declared.look()

    assert addresses(declared)["a"] == "a@x.test"
    assert "is there already" in str(declared.problems[0])


def test_an_address_cannot_be_changed_here_either(declared: Declared, directory: Path) -> None:
    declared.look()
    (directory / "c.yml").write_text(box("c", "other@x.test"))
    declared.look()

    assert addresses(declared)["c"] == "c@x.test"
    assert "cannot be changed" in str(declared.problems[0])


def test_other_kinds_are_left_alone(declared: Declared, directory: Path) -> None:
    (directory / "z.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n")
    declared.look()

    assert declared.problems == ()
    assert declared.ignored == ("Deployment/web (z.yaml)",)


def test_a_kind_there_is_not_is_named_and_takes_nothing_away(declared: Declared, directory: Path) -> None:
    declared.look()
    typo = box("b", "b@x.test").replace("kind: Mailbox", "kind: Mailbx")
    (directory / "a.yaml").write_text(box("a", "a@x.test") + typo)
    declared.look()

    assert sorted(addresses(declared)) == ["a", "b", "c"]
    (problem,) = map(str, declared.problems)
    assert problem.endswith("a.yaml:7: mailbx/b: kind: unknown kind; did you mean Mailbox?")
    assert declared.ignored == ()


def test_an_object_without_a_kind_is_told(declared: Declared, directory: Path) -> None:
    (directory / "z.yaml").write_text("metadata: {name: web}\n")
    declared.look()

    assert [str(problem).partition("z.yaml:")[2] for problem in declared.problems] == ["1: web: kind: is required"]


def test_a_directory_that_is_away_takes_nothing_away(declared: Declared, directory: Path) -> None:
    declared.look()
    away = directory.rename(directory.with_name("away"))
    assert declared.look()
    assert sorted(addresses(declared)) == ["a", "b", "c"]
    assert "cannot be read (No such file or directory)" in str(declared.problems[0])

    away.rename(directory)
    assert declared.look()
    assert declared.problems == ()


def test_a_directory_without_yaml_is_told(tmp_path: Path) -> None:
    declared = Declared(tmp_path, tmp_path / "state" / "accepted.json")
    declared.look()

    (problem,) = map(str, declared.problems)
    assert problem == f"{tmp_path}: there is no file called .yaml or .yml in it"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &a [*a]\n", "1: not YAML: nested too deeply, or in itself"),
        ("[" * 3000 + "]" * 3000, "1: not YAML: "),
        ("---\na: !!int x\n", "2: not YAML: a value cannot be read: invalid literal"),
        ("a: !!timestamp x\n", "1: not YAML: a value cannot be read: "),
        ("a: " + "9" * 5000, "1: not YAML: a value cannot be read: "),
        ("apiVersion: v1\nkind: List\nitems:\n-\n- {}\n", "4: an object is a mapping with kind, metadata and spec"),
        (
            box("z, annotations: {checked: true}", "z@x.test"),
            "3: mailbox/z: metadata.annotations.checked: must be text; put quotes around True",
        ),
        (box("2026", "z@x.test"), "3: mailbox/2026: metadata.name: must be text; put quotes around 2026"),
    ],
)
def test_whatever_is_in_a_file_harms_no_other(declared: Declared, directory: Path, text: str, told: str) -> None:
    (directory / "z.yaml").write_text(text)
    declared.look()

    assert sorted(addresses(declared)) == ["a", "b", "c"]
    (problem,) = map(str, declared.problems)
    assert problem.startswith(f"{directory}/z.yaml:{told}")
