"""`postrider-server restore`: makes a data directory of a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from postrider.app import backup as backups
from postrider.commands.backup import Progress, Quiet, Where, told

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def restore(
    where: Where,
    data: Annotated[
        Path, typer.Option(help="Empty or new: it becomes the server's data directory.", envvar="POSTRIDER_DATA")
    ],
    *,
    at: Annotated[str, typer.Option("--at", metavar="BACKUP", help="This one (default: the newest).")] = "",
    hold_queue: Annotated[
        bool, typer.Option("--hold-queue", help="Hold outgoing mail: some may have been sent since the backup.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Restore a backup into an empty directory. Clients notice: no UID of lost mail is ever given again."""
    with told(), Progress(quiet) as progress:
        place = backups.place(where, progress.tell)
        name, manifest = backups.restore(place, data.absolute(), at, progress.tell, hold_queue=hold_queue)
    typer.echo(f"{data}: as it was at {manifest.taken} ({name})")
