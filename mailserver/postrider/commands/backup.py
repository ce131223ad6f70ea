"""`postrider-server backup`: takes, lists and verifies backups."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from postrider.app import backup as backups
from postrider.commands.terminal import Data, wrong
from postrider.ops.backup.place import BackupError
from postrider.ops.exchange.progress import size
from postrider.store.directory import CannotOpen
from postrider.store.shape import StoreError

Where = Annotated[str, typer.Argument(help="A directory, or a bucket.", metavar="DIR|s3://BUCKET/PREFIX")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing while it works.")]

_INTERRUPTED = 130
#: Of files that are missing so many are named.
_TOLD = 5
#: From so many octets on it is said of how many.
_MUCH = 1_000_000


class Backups(TyperGroup):
    """`backup DIR` takes one; `list` and `verify` come first (a directory of that name is ./list)."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments, with `take` in front where it is left out."""
        named = not args or args[0] == "--help" or args[0] in self.commands
        return super().parse_args(ctx, args if named else ["take", *args])


EPILOG = (
    "`backup DIR` is short for `backup take DIR`. Buckets: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and"
    " AWS_ENDPOINT_URL say whose and where."
)

app = typer.Typer(cls=Backups, add_completion=False, rich_markup_mode=None)


@app.callback(no_args_is_help=True, epilog=EPILOG)
def backup() -> None:
    """Back mail and state up into a directory or a bucket. The server may run meanwhile."""


@app.command()
def take(
    where: Where,
    data: Data,
    *,
    keep: Annotated[int, typer.Option(min=0, help="Remove all but so many of the newest backups; 0: keep all.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Take a backup. What lies there already is not copied again."""
    with told(), Progress(quiet) as progress:
        place = backups.place(where, progress.tell)
        taken = backups.take(data.absolute(), place, keep, progress.tell)
    typer.echo(f"{place.title}/{taken.name}: {size(taken.size)}, of which {size(taken.copied)} were copied")
    for name in taken.removed:
        typer.echo(f"removed {name}")
    if taken.manifest.missing:
        files = ", ".join(taken.manifest.missing[:_TOLD])
        count = len(taken.manifest.missing)
        typer.echo(f"postrider-server: {count} bodies of {data} are missing: {files}. The rest is kept.", err=True)
    if taken.manifest.damaged:
        packs = ", ".join(map(str, taken.manifest.damaged))
        typer.echo(f"postrider-server: packs of {data} are missing or too short: {packs}. The rest is kept.", err=True)
    if taken.manifest.missing or taken.manifest.damaged:
        raise typer.Exit(1)


@app.command(name="list")
def list_backups(where: Where) -> None:
    """List the backups, oldest first."""
    with told(), Progress(quiet=True) as progress:
        place = backups.place(where, progress.tell)
        rows = backups.listed(place)
        for name, manifest in rows:
            said = manifest and f"{size(manifest.length):>10}  schema {manifest.schema}  release {manifest.version}"
            typer.echo(f"{name}  {said or 'damaged: verify says what is wrong'}")
        if not rows:
            typer.echo(f"there is no finished backup in {place.title}", err=True)


@app.command()
def verify(
    where: Where,
    *,
    at: Annotated[str, typer.Option("--at", metavar="BACKUP", help="Only this one.")] = "",
    quiet: Quiet = False,
) -> None:
    """Read everything and tell of damage: hashes, databases, bodies. Exit status 1 where there is any."""
    with told(), Progress(quiet) as progress:
        problems = backups.verify(backups.place(where, progress.tell), at, progress.tell)
    for problem in problems:
        typer.echo(f"{', '.join(problem.backups)}: {problem.text}", err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo("all is well")


class Progress:
    """One line on a terminal that says how far it is; nothing where nobody looks."""

    def __init__(self, quiet: bool) -> None:
        self._shown = not quiet and sys.stderr.isatty()
        self._last = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._last:
            typer.echo("\r\x1b[K", nl=False, err=True)

    def tell(self, what: str, done: int, total: int) -> None:
        """Show it, if it looks different from before."""
        line = what
        if total:
            line += f": {done * 100 // total} %" + (f" of {size(total)}" if total > _MUCH else "")
        elif done:
            line += f": {size(done)}"
        if self._shown and line != self._last:
            self._last = line
            typer.echo(f"\r\x1b[K{line}", nl=False, err=True)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """What is wrong with places, files or the store is said on one line, and the status is 1.

    Whoever ends the command by SIGTERM finds things cleared up as after ^C.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except BrokenPipeError:  # `| head`: nobody reads on, which is no error
        raise
    except (BackupError, CannotOpen, StoreError, OSError) as error:
        typer.echo(f"postrider-server: {wrong(error)}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(_INTERRUPTED) from error
    finally:
        signal.signal(signal.SIGTERM, before)
