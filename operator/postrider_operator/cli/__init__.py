"""The command `postrider`: local mode, and tools around the resources. Each command is loaded when it is called."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

#: Commands, in the order help lists them, with the module that has each as `app`.
COMMANDS = {
    "up": "postrider_operator.cli.up",
    "lint": "postrider_operator.cli.lint",
    "render": "postrider_operator.cli.render",
    "dns": "postrider_operator.cli.dns",
    "status": "postrider_operator.cli.status",
}


class Lazy(TyperGroup):
    """Commands whose modules are imported when they are needed: `up` starts without a cluster's libraries."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, None when there is none."""
        if cmd_name not in COMMANDS:
            return None
        return typer.main.get_command(importlib.import_module(COMMANDS[cmd_name]).app)


app = typer.Typer(
    cls=Lazy, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"postrider {version('postrider')}")
        raise typer.Exit


@app.callback()
def postrider(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the release.")
    ] = False,
) -> None:
    """Email for your domains as Kubernetes resources."""


def main() -> None:
    """Entry point of `postrider`."""
    app(prog_name="postrider")
