"""The command line of the server, `postrider-server`: which command is meant. Each is loaded when it is called."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

#: Commands, in the order help lists them, with the module that has each as `app`.
COMMANDS = {
    "serve": "postrider.commands.serve",
    "import": "postrider.commands.importing",
    "export": "postrider.commands.exporting",
    "undelete": "postrider.commands.undelete",
    "usage": "postrider.commands.usage",
    "backup": "postrider.commands.backup",
    "restore": "postrider.commands.restore",
    "store": "postrider.commands.store",
    "shred": "postrider.commands.shred",
}
#: What is meant when options come first, or nothing at all; but for those that are said to the whole.
DEFAULT = "serve"
OPTIONS = ("--help", "--version")


class Commands(TyperGroup):
    """Commands whose modules are imported when they are needed: serving starts without what the others need."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments, with DEFAULT in front where no command is named."""
        named = args and (args[0] in OPTIONS or not args[0].startswith("-"))
        return super().parse_args(ctx, args if named else [DEFAULT, *args])

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, None when there is none."""
        if cmd_name not in COMMANDS:
            return None
        return typer.main.get_command(importlib.import_module(COMMANDS[cmd_name]).app)


app = typer.Typer(cls=Commands, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"postrider-server {version('postrider')}")
        raise typer.Exit


@app.callback(epilog="Without a command: serve. `postrider-server COMMAND --help` says more.")
def postrider_server(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the release.")
    ] = False,
) -> None:
    """The mail server, and what one does with its data directory."""


def main() -> None:
    """Entry point of `postrider-server` and `python -m postrider`."""
    app(prog_name="postrider-server")


if __name__ == "__main__":
    main()
