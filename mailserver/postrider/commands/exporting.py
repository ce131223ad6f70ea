"""`postrider-server export`: the mail of an account as a Maildir, as mbox or EML files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from postrider.app import tools
from postrider.commands import exchange
from postrider.commands.terminal import Data, Namespace, conclude
from postrider.ops.exchange import exporter, targets
from postrider.ops.exchange.exporter import Export
from postrider.ops.exchange.formats import TARGETS, Choice, Format
from postrider.store.directory import CannotOpen
from postrider.store.values import Account

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class _Order:
    """What was asked for."""

    account: Account
    target: Path
    data: Path
    format: Format
    choice: Choice
    folders: tuple[str, ...]

    def missing(self, names: Sequence[str]) -> tuple[str, ...]:
        """The folders asked for that there are none of."""
        return tuple(one for one in self.folders if not any(n == one or n.startswith(f"{one}/") for n in names))

    def wants(self, name: str) -> bool:
        """Whether a folder is among those asked for, or below one."""
        return not self.folders or any(name == one or name.startswith(f"{one}/") for one in self.folders)


@app.command()
def export(  # noqa: PLR0913 -- each parameter is a flag
    account: exchange.Address,
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="A new directory, or that of an export to go on with.")
    ],
    data: Data,
    *,
    namespace: Namespace = "",
    format: Annotated[Format, typer.Option(help="maildir, mbox (mboxrd) or eml.")] = Format.MAILDIR,
    folder: Annotated[
        list[str] | None, typer.Option(metavar="FOLDER", help="Only this one and those below it (repeatable).")
    ] = None,
    tree: Annotated[bool, typer.Option("--tree", help="Maildir: folders as a tree, not beside each other.")] = False,
    crlf: Annotated[bool, typer.Option("--crlf", help="Maildir, mbox: line ends CRLF as in mail, not LF.")] = False,
) -> None:
    """Export the mail of an account, with folders, flags and dates. The server may run meanwhile.

    Nothing is overwritten. Begun anew after it was interrupted, it writes what is missing.
    """
    named = exchange.account_named(account, namespace)
    if format not in TARGETS:
        raise typer.BadParameter(f"{format} can be imported only; use {Format.MBOX}", param_hint="--format")
    order = _Order(named, target, data, format, Choice(tree, crlf), tuple(folder or ()))
    outcome = conclude(_export(order), targets.NotOurs)
    if outcome.failed:
        raise typer.Exit(1)


async def _export(order: _Order) -> exporter.Outcome:
    async with tools.opened(order.data) as store:
        if await store.reader.account(order.account) is None:
            raise CannotOpen(f"there is no mail of {order.account} in {order.data}")
        names = [row.name for row in await store.reader.mailboxes(order.account)]
        if missing := order.missing(names):
            raise CannotOpen(f"{order.account} has no folder {', '.join(missing)}")
        note = {"account": order.account, "format": order.format, "tree": order.choice.tree, "crlf": order.choice.crlf}
        targets.claim(order.target, note)
        progress = exchange.progress()
        job = Export(store.reader, order.account, TARGETS[order.format](order.target, order.choice), progress)
        try:
            await exchange.told(job.run(order.wants), progress)
        finally:
            exchange.summary(
                progress,
                (job.outcome.written, "exported"),
                (job.outcome.known, "were there already"),
                (job.outcome.failed, "could not be exported"),
            )
    return job.outcome
