"""What the commands on a data directory have in common: their options, and how they end when something is wrong."""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import uvloop

from postrider.store.directory import CannotOpen
from postrider.store.transactions import StoreError

Result = TypeVar("Result")

Data = Annotated[Path, typer.Option(help="The server's directory of mail and state.", envvar="POSTRIDER_DATA")]
Namespace = Annotated[
    str, typer.Option(help="Namespace of the Mailbox, `default` if not given.", metavar="NAME", show_default=False)
]

_INTERRUPTED = 130


def conclude(work: Coroutine[Any, Any, Result], *expected: type[Exception]) -> Result:
    """Do the work; what is wrong with directories, files or the store is said on one line, and the status is 1.

    So are the errors of the work's own that are `expected`.
    """
    errors: tuple[type[Exception], ...] = (CannotOpen, StoreError, OSError, *expected)
    try:
        return uvloop.run(work)
    except BrokenPipeError:  # `| head`: nobody reads on, which is no error
        raise
    except errors as error:
        typer.echo(f"postrider-server: {wrong(error)}", err=True)
        raise typer.Exit(1) from error
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        raise typer.Exit(_INTERRUPTED) from error


def wrong(error: Exception) -> str:
    """An error as people read it: `/mnt/x: Read-only file system`, not its number."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else error.strerror


def counted(number: int, noun: str) -> str:
    """ "1 message", "1,200 messages"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def moment(seconds: int) -> str:
    """A time as people read it: 2026-11-21 19:30, in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M")
