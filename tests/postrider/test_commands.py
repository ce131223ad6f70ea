"""Which command is meant, and that the one that serves starts without the others."""

import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from postrider.__main__ import COMMANDS, app


def run(*arguments, **environment):
    command = [sys.executable, "-m", "postrider", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment, check=False)


def test_options_alone_mean_serve(tmp_path):
    done = run("--snapshot", str(tmp_path), "--data", str(tmp_path), "--ports", "nonsense")
    assert done.returncode == 2
    assert "'nonsense' is neither 'unprivileged', 'auto' nor a number" in done.stderr
    assert "postrider-server serve" in done.stderr


def test_a_resolver_must_be_an_address(tmp_path):
    done = run("--snapshot", str(tmp_path), "--data", str(tmp_path), "--resolver", "dns.example")
    assert done.returncode == 2
    assert "resolver: 'dns.example' is no IP address" in done.stderr


def test_a_log_level_must_be_one_there_is(tmp_path):
    done = run("--snapshot", str(tmp_path), "--data", str(tmp_path), "--log-level", "loud")
    assert done.returncode == 2
    assert "'loud' is not one of 'debug', 'info', 'warning', 'error'" in done.stderr


def test_nothing_at_all_means_serve_as_the_environment_says(tmp_path):
    done = run(POSTRIDER_SNAPSHOT=str(tmp_path))
    assert done.returncode == 2
    assert "Missing option '--data'" in done.stderr


def test_help_names_every_command():
    done = CliRunner().invoke(app, ["--help"])
    assert done.exit_code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in done.output


@pytest.mark.parametrize("group", [(), ("backup",), ("store",)])
def test_help_cuts_no_sentence_short(group):
    done = CliRunner().invoke(app, [*group, "--help"])
    assert "..." not in done.output.partition("Commands:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    done = CliRunner().invoke(app, [name, "--help"])
    assert done.exit_code == 0
    assert f" {name} " in done.output.splitlines()[0]


def test_the_release_is_told():
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"postrider-server {version('postrider')}\n")


def test_an_unknown_command_is_named():
    done = CliRunner().invoke(app, ["srve"])
    assert done.exit_code == 2
    assert "No such command 'srve'" in done.output


def test_serving_starts_without_what_other_commands_need():
    code = "import sys, postrider.__main__, postrider.commands.serve; print('apsw' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
