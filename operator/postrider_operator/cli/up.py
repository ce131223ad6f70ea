"""`postrider up`: a mail server from YAML files, without a cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from postrider_operator.cli.arguments import Files
from postrider_operator.local.run import CannotStart, Local, Options
from postrider_operator.local.server import HIGHEST_BASE, ServerFailed

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def _ports(text: str) -> str:
    if text not in ("", "auto") and not (text.isascii() and text.isdigit() and int(text) <= HIGHEST_BASE):
        raise typer.BadParameter(f"{text!r} is neither 'auto' nor a number up to {HIGHEST_BASE}")
    return text


@app.command()
def up(  # noqa: PLR0913 -- each parameter is a flag
    path: Files,
    *,
    data: Annotated[Path, typer.Option(help="Where mail, keys and passwords are kept.")] = Path(".postrider"),
    ports: Annotated[
        str,
        typer.Option(
            help="auto, or BASE: BASE+25, +587, +465, +143, +993, +80, +90. Not given: 10025 ... when free, else auto.",
            show_default=False,
            callback=_ports,
        ),
    ] = "",
    resolver: Annotated[
        str, typer.Option(help="DNS server to ask, HOST:PORT; the system's if not given.", show_default=False)
    ] = "",
    ready_file: Annotated[
        Path | None,
        typer.Option(help="Write JSON here once it serves: listeners, mailboxes, ca, dns.", show_default=False),
    ] = None,
    acknowledge: Annotated[
        str, typer.Option(help="GENERATION whose many vanished mailboxes are meant.", show_default=False)
    ] = "",
) -> None:
    """Serve mail as the YAML files of a directory say. No cluster is needed; edits take effect at once."""
    options = Options(path, data, ports, resolver, ready_file, acknowledge)
    try:
        asyncio.run(Local(options, typer.echo).run())
    except (CannotStart, ServerFailed, OSError) as error:
        where = f"{data}: " if isinstance(error, OSError) and not error.filename else ""  # a full disk names no file
        typer.echo(f"postrider: {where}{error}", err=True)
        raise typer.Exit(1) from error
