"""`postrider-server import`: mail from a Maildir, from mbox or EML files into an account."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from postrider.app import tools
from postrider.commands import exchange
from postrider.commands.terminal import Data, Namespace, conclude
from postrider.mailbox.actions import Actions, Allowance, allowance
from postrider.net.system import SystemClock
from postrider.ops.exchange import formats, importer
from postrider.ops.exchange.formats import Format
from postrider.ops.exchange.importer import Import, Wishes
from postrider.ops.exchange.progress import Progress
from postrider.ops.exchange.sources import NotMail
from postrider.store.directory import CannotOpen
from postrider.store.values import Account

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class _Order:
    """What was asked for."""

    source: Path
    account: Account
    data: Path
    format: Format | None
    ignore_quota: bool
    undeclared: bool
    wishes: Wishes


@app.command()
def import_(  # noqa: PLR0913 -- each parameter is a flag
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A Maildir, an mbox or .eml file, or a directory of them.")
    ],
    account: exchange.Address,
    data: Data,
    *,
    namespace: Namespace = "",
    format: Annotated[
        Format | None,
        typer.Option(help="What SOURCE is, else it is looked at. mboxo: quoting stays.", show_default=False),
    ] = None,
    into: Annotated[str, typer.Option(help="Import below this folder.", metavar="FOLDER")] = "",
    keep_names: Annotated[
        bool, typer.Option("--keep-names", help='"Sent Items" and the like stay folders of their own.')
    ] = False,
    ignore_quota: Annotated[
        bool, typer.Option("--ignore-quota", help="Import more than the account may hold.")
    ] = False,
    undeclared: Annotated[bool, typer.Option("--undeclared", help="Import though no Mailbox is declared.")] = False,
    label: Annotated[
        str, typer.Option(help="What was imported with another label is imported once more.", metavar="TEXT")
    ] = "",
) -> None:
    """Import mail into an account, with folders, flags and dates. The server may run meanwhile.

    Begun anew after it was interrupted, it stores what is missing and nothing twice. Line ends become CRLF.
    """
    named = exchange.account_named(account, namespace)
    wishes = Wishes(into, keep_names, label)
    order = _Order(source, named, data, format, ignore_quota, undeclared, wishes)
    outcome = conclude(_import(order), NotMail)
    if outcome.failed:
        raise typer.Exit(1)


async def _import(order: _Order) -> importer.Outcome:
    allowed = _allowed(order)
    progress = exchange.progress()
    passed_over = 0

    def complain(text: str) -> None:
        nonlocal passed_over
        passed_over += 1
        progress.complain(text)

    source = formats.source(order.source, complain, order.format)
    async with tools.opened(order.data, fresh=True) as store:
        with tools.spool(order.data) as spool:
            actions = Actions(store.writer, order.account, allowed)
            account = importer.Account(actions, store.reader, SystemClock(), spool)
            job = Import(source, account, progress, order.wishes)
            try:
                await exchange.told(job.run(), progress)
            finally:
                job.outcome.failed += passed_over
                _sum_up(job.outcome, progress)
    return job.outcome


def _allowed(order: _Order) -> Allowance:
    found = exchange.declared(order.data, order.account)
    if found is None:
        if tools.directory_of(order.data) is not None and not order.undeclared:
            raise CannotOpen(
                f"no Mailbox is declared for {order.account}; with --undeclared its mail is imported all the same"
            )
        return Allowance()
    return Allowance() if order.ignore_quota else allowance(*found)


def _sum_up(outcome: importer.Outcome, progress: Progress) -> None:
    exchange.summary(
        progress,
        (outcome.stored, "imported"),
        (outcome.known, "were there already"),
        (outcome.empty, "passed over as empty"),
        (outcome.failed, "could not be imported"),
    )
