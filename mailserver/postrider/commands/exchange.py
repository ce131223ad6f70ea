"""What `import` and `export` have in common: the account named, progress told, an end that says how to go on."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from postrider.accounts.directory import Directory
from postrider.app import tools
from postrider.commands.terminal import counted
from postrider.contract.model import Mailbox
from postrider.net.system import SystemClock
from postrider.ops.exchange.progress import Progress, duration
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account

Address = Annotated[str, typer.Argument(metavar="ACCOUNT", help="alice@example.org, or NAMESPACE/alice@example.org.")]

_AGAIN = "The same command goes on where it stopped."
_HINTS = {
    Reason.OVER_QUOTA: "the account or its domain is over quota: raise the quota, or import with --ignore-quota",
    Reason.NO_SPACE: "the disk of the data directory is nearly full",
}


def progress() -> Progress:
    """Progress on standard error, so that standard output has the result alone."""
    return Progress(sys.stderr, SystemClock())


def account_named(text: str, namespace: str) -> Account:
    """The account; ends the command where the text names none."""
    try:
        return tools.account_named(text, namespace)
    except tools.BadAccount as error:
        raise typer.BadParameter(str(error), param_hint="ACCOUNT") from error


def declared(data: Path, account: Account) -> tuple[Directory, Mailbox] | None:
    """The Mailbox of an account with what is declared around it, None where there is none or no snapshot yet."""
    directory = tools.directory_of(data)
    if directory is None:
        return None
    mailbox = directory.declared(account)
    return (directory, mailbox) if mailbox else None


async def told(work: Coroutine[Any, Any, object], done: Progress) -> None:
    """Do the work; when it ends early, say why and that the same command goes on."""
    try:
        await work
    except StoreError as error:
        raise StoreError(error.reason, f"{_HINTS.get(error.reason, error)}. {_AGAIN}") from error
    except BaseException:
        done.end()
        typer.echo(_AGAIN, err=True)
        raise
    finally:
        done.end()


def summary(done: Progress, *parts: tuple[int, str]) -> None:
    """One line of counts of messages that are not zero, the first of them always, and the time."""
    (number, done_with_them), *rest = parts
    counts = [f"{counted(number, 'message')} {done_with_them}", *(f"{few:,} {what}" for few, what in rest if few)]
    typer.echo(f"{', '.join(counts)} in {duration(done.seconds)}")
