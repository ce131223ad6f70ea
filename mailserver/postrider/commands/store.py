"""`postrider-server store`: verifies, rebuilds and compacts what is kept in a data directory."""

from __future__ import annotations

from typing import Annotated

import typer

from postrider.app import storage
from postrider.app.storage import Rebuilt
from postrider.commands.backup import Progress, Quiet, told
from postrider.commands.terminal import Data, counted
from postrider.ops.exchange.progress import size

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.callback(no_args_is_help=True)
def store() -> None:
    """Look after the files of a data directory."""


@app.command()
def verify(data: Data, *, quiet: Quiet = False) -> None:
    """Read every record and tell of damage. References and counters are added up; the server may run meanwhile."""
    with told(), Progress(quiet) as progress:
        done = storage.verify(data.absolute(), progress.tell)
    for problem in done.problems:
        typer.echo(problem, err=True)
    for note in done.dead:
        typer.echo(f"{note} (nothing needs it)", err=True)
    typer.echo(f"{counted(done.records, 'record')} in {counted(done.packs, 'pack')}, {size(done.octets)}")
    if done.problems:
        typer.echo(f"postrider-server: {counted(len(done.problems), 'problem')}", err=True)
        raise typer.Exit(1)
    if done.unopened:
        typer.echo(
            f"{counted(done.unopened, 'record')} cannot be opened: the master key of their accounts' keys is not here."
            " Only their checksums were looked at.",
            err=True,
        )
    typer.echo("all else is well" if done.unopened else "all is well")


@app.command()
def rebuild(data: Data, *, quiet: Quiet = False) -> None:
    """Make the database again from the packs, with the server stopped. The old database is put aside, not removed."""
    with told(), Progress(quiet) as progress:
        done = storage.rebuild(data.absolute(), progress.tell)
    for line in _said(done):
        typer.echo(line)
    for damage in done.damage:
        typer.echo(str(damage), err=True)
    for damage in done.dead:
        typer.echo(f"{damage} (nothing needs it)", err=True)
    for left in done.left:
        typer.echo(left, err=True)
    if done.lost_bodies or done.damage or done.left or done.missing_batches:
        raise typer.Exit(1)


@app.command()
def compact(
    data: Data,
    *,
    above: Annotated[int, typer.Option(min=1, max=99, help="Percent that must be dead in a pack.")] = 20,
) -> None:
    """Remove what nobody needs from the packs, with the server stopped. What is needed is copied out of them.

    A running server does so by itself with packs of which more than half is dead.
    """
    with told():
        before, after = storage.compact(data.absolute(), above / 100)
    typer.echo(f"{size(before)} before, {size(after)} now")


def _said(done: Rebuilt) -> list[str]:
    made = {"account": done.accounts, "folder": done.mailboxes, "message": done.messages, "queue row": done.queued}
    lines = [", ".join(counted(number, noun) for noun, number in made.items())]
    if done.put_aside:
        lines.append(f"the old database is now {done.put_aside}")
    if done.missing_batches:
        lines.append(f"{done.missing_batches} batches of changes are missing in the journal")
    if done.delivered_again:
        lines.append(f"{done.delivered_again} messages that the journal does not know were delivered again")
    if done.renewed:
        lines.append(
            f"{len(done.renewed)} accounts got a new UIDVALIDITY for their folders: " + ", ".join(done.renewed)
        )
    if done.lost_bodies:
        lines.append(f"{done.lost_bodies} bodies are in no pack and no file: their messages cannot be read")
    return lines
