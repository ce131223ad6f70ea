"""`postrider-server undelete`: expunged mail, and removed accounts, brought back while the undelete window lasts."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from postrider.app import tools
from postrider.commands import exchange
from postrider.commands.terminal import Data, Namespace, conclude, counted, moment
from postrider.mailbox.actions import Actions, Allowance, allowance
from postrider.net.system import SystemClock
from postrider.ops import undelete as work
from postrider.ops.exchange.progress import size
from postrider.ops.undelete import Wish
from postrider.store.directory import CannotOpen
from postrider.store.ports import Store
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_SPAN = re.compile(r"(\d{1,5})([mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class _Order:
    """What was asked for."""

    account: Account
    data: Path
    wish: Wish
    into: str
    ignore_quota: bool


@app.command()
def undelete(  # noqa: PLR0913 -- each parameter is a flag
    account: exchange.Address,
    data: Data,
    *,
    namespace: Namespace = "",
    show: Annotated[bool, typer.Option("--list", help="Only list what can be brought back.")] = False,
    folder: Annotated[str, typer.Option(help="Only what was in this folder.", metavar="FOLDER")] = "",
    since: Annotated[
        str, typer.Option(help="Only what was expunged since: 90m, 36h, 7d, or 2026-11-20 (UTC).", metavar="TIME")
    ] = "",
    into: Annotated[str, typer.Option(help="Put all of it there; else each where it was.", metavar="FOLDER")] = "",
    ignore_quota: Annotated[bool, typer.Option("--ignore-quota", help="Though the account may not hold it.")] = False,
    removed: Annotated[
        bool, typer.Option("--removed", help="The mail of a Mailbox that was removed with deletionPolicy Delete.")
    ] = False,
) -> None:
    """Bring expunged mail back, until its undelete window has passed. The server may run meanwhile."""
    wish = Wish(folder, _moment(since))
    order = _Order(exchange.account_named(account, namespace), data, wish, into, ignore_quota)
    conclude(_reinstate(order) if removed else _list(order) if show else _bring_back(order))


@contextlib.asynccontextmanager
async def _store(order: _Order) -> AsyncIterator[Store]:
    """The store, if it has the account: a name mistyped is no account without deleted mail."""
    async with tools.opened(order.data) as store:
        if await store.reader.account(order.account) is None:
            raise CannotOpen(f"there is no mail of {order.account} in {order.data}")
        yield store


async def _list(order: _Order) -> None:
    messages = octets = 0
    async with _store(order) as store:
        async for row in work.window(store.reader, order.account, order.wish):
            typer.echo(f"{moment(row.at)}  {size(row.size):>10}  {row.email_id:>8}  {row.mailbox}")
            messages, octets = messages + 1, octets + row.size
    typer.echo(f"{counted(messages, 'message')}, {size(octets)}", err=True)


async def _bring_back(order: _Order) -> None:
    declared = exchange.declared(order.data, order.account)
    allowed = Allowance() if declared is None or order.ignore_quota else allowance(*declared)
    back: Counter[str] = Counter()
    async with _store(order) as store:
        actions = Actions(store.writer, order.account, allowed)
        try:
            await work.bring_back(actions, store.reader, order.wish, order.into, back)
        except StoreError as error:
            if error.reason is not Reason.OVER_QUOTA:
                raise
            hint = "it does not fit into the quota: raise it, bring back less (--folder, --since), or --ignore-quota"
            raise StoreError(error.reason, hint) from error
        finally:
            where = ", ".join(f"{number:,} in {name}" for name, number in sorted(back.items()))
            typer.echo(f"{counted(back.total(), 'message')} brought back" + (f": {where}" if where else ""))


async def _reinstate(order: _Order) -> None:
    account = order.account
    if exchange.declared(order.data, account) is None and tools.directory_of(order.data) is not None:
        raise CannotOpen(f"no Mailbox is declared for {account}: declare it again first, or its mail is removed again")
    async with tools.opened(order.data) as store:
        row = await work.removed(store.reader, account)
        if row is None:
            raise CannotOpen(f"nothing is kept of a removed Mailbox for {account}")
        await work.reinstate(store, row.name, account)
    typer.echo(f"{account} has {counted(row.messages, 'message')} again")


def _moment(text: str) -> int:
    if not text:
        return 0
    if span := _SPAN.fullmatch(text):
        return int(SystemClock().now()) - int(span[1]) * _SECONDS[span[2]]
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is neither 7d nor 2026-11-20", param_hint="--since") from error
    return int((found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp())
