"""lint, render and dns on the quickstart; the fast way in."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from postrider_operator.cli import app

QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart"
BAD = """\
apiVersion: postrider.dev/v1alpha1
kind: Alias
metadata: {name: one}
spec: {address: one@example.org, targets: [one@example.org]}
---
apiVersion: postrider.dev/v1alpha1
kind: Mailbox
metadata: {name: two}
spec: {address: two}
---
apiVersion: postrider.dev/v1alpha1
kind: Mailbox
metadata: {name: three}
spec: {address: three@example.org, passwordSecretRef: {name: nowhere}}
"""


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_lint_finds_nothing_wrong_with_the_quickstart() -> None:
    found = run("lint", QUICKSTART)
    assert (found.exit_code, found.stdout) == (0, "")


def test_lint_takes_null_for_nothing_as_an_api_server_does(tmp_path: Path) -> None:
    for file in QUICKSTART.iterdir():
        nothing = "metadata:\n  creationTimestamp: null\n  labels:\n"  # as `kubectl create --dry-run -o yaml` has it
        (tmp_path / file.name).write_text(file.read_text().replace("metadata:\n", nothing))
    found = run("lint", tmp_path)
    assert (found.exit_code, found.stdout) == (0, "")


def test_lint_tells_what_api_server_and_operator_would(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD)
    for name in ("server.yaml", "domains.yaml"):
        (tmp_path / name).write_text((QUICKSTART / name).read_text())
    found = run("lint", tmp_path)
    assert found.exit_code == 1
    assert "bad.yaml:1: alias/one: AliasLoop" in found.stdout
    assert "bad.yaml:9: mailbox/two: spec.address: an address is local@domain" in found.stdout
    assert "bad.yaml:11: mailbox/three: SecretNotFound: There is no Secret nowhere" in found.stdout


def test_lint_tells_of_objects_that_leave_the_servers_namespace_unsaid(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD)
    (tmp_path / "domains.yaml").write_text((QUICKSTART / "domains.yaml").read_text())
    server = (QUICKSTART / "server.yaml").read_text()
    (tmp_path / "server.yaml").write_text(server.replace("metadata:\n", "metadata:\n  namespace: mail\n"))
    found = run("lint", tmp_path)
    assert found.exit_code == 1
    assert "bad.yaml:1: alias/one: AliasLoop" in found.stdout
    assert "bad.yaml:11: mailbox/three: SecretNotFound" in found.stdout


def test_render_shows_objects_without_secrets() -> None:
    found = run("render", QUICKSTART, "--image", "registry.example/postrider:1")
    rows = {(row["kind"], row["metadata"]["name"]): row for row in yaml.safe_load_all(found.stdout)}
    assert found.exit_code == 0
    container = rows["StatefulSet", "default-mail"]["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.example/postrider:1"
    assert all("data" not in row for key, row in rows.items() if key[0] == "Secret")
    assert ("Service", "default-mail") in rows


def test_dns_wants_the_keys_that_are_in_use(tmp_path: Path) -> None:
    found = run("dns", QUICKSTART, "--data", tmp_path / "nothing")
    assert found.exit_code == 2
    assert "has no keys yet" in found.output


def test_dns_prints_a_zone_file(tmp_path: Path) -> None:
    (tmp_path / "state" / "generated").mkdir(parents=True)
    found = run("dns", QUICKSTART, "--data", tmp_path, "--domain", "example.net")
    assert found.exit_code == 0
    assert "rsa1._domainkey.example.net." in found.stdout
    assert "example.org.  " not in found.stdout


def test_dns_knows_a_domain_however_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "state" / "generated").mkdir(parents=True)
    server, domains = ((QUICKSTART / name).read_text() for name in ("server.yaml", "domains.yaml"))
    (tmp_path / "all.yaml").write_text(
        f"{server}---\n{domains.replace('name: example.net', 'name: xn--bcher-kva.example')}"
    )
    for name in ("bücher.example", "XN--BCHER-KVA.example"):
        found = run("dns", tmp_path / "all.yaml", "--data", tmp_path, "--domain", name)
        assert (found.exit_code, found.stdout.splitlines()[0]) == (0, "; xn--bcher-kva.example")
    assert "is not a domain name" in run("dns", QUICKSTART, "--data", tmp_path, "--domain", "☃..x").output


def test_ports_that_there_are_not_are_told() -> None:
    for ports in ("abc", "64543", "-1"):
        found = run("up", QUICKSTART, "--ports", ports)
        assert found.exit_code == 2
        assert f"'{ports}' is neither 'auto' nor a number up to 64542" in found.output.replace("\n", " ")


def test_a_missing_path_is_told() -> None:
    for command in ("up", "lint", "render", "dns"):
        found = run(command, "/nowhere/at/all")
        assert found.exit_code == 2
        assert "'/nowhere/at/all' does not exist" in found.output


def test_help_names_every_command_and_cuts_no_sentence_short() -> None:
    found = run("--help")
    assert all(name in found.output for name in ("up", "lint", "render", "dns", "status"))
    assert "..." not in found.output.partition("Commands:")[2]


def test_the_release_is_told() -> None:
    found = run("--version")
    assert (found.exit_code, found.output) == (0, f"postrider {version('postrider')}\n")


def test_local_mode_does_not_load_a_clusters_libraries() -> None:
    code = "import sys, postrider_operator.cli.up; print(*{'kopf', 'kubernetes', 'aiohttp'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.split() == []
