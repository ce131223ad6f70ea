"""`postrider-server usage`: how much mail accounts and domains hold, of how much they may."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from postrider.accounts.directory import Directory
from postrider.app import tools
from postrider.commands import exchange
from postrider.commands.terminal import Data, Namespace, conclude, moment
from postrider.model.address import AddressError, own_domain
from postrider.ops.exchange.progress import size
from postrider.ops.janitor import accounts
from postrider.store.directory import CannotOpen
from postrider.store.ports import Store
from postrider.store.values import AccountRow

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_HEAD = ("USED", "QUOTA", "FULL", "MESSAGES", "NAME", "")


@app.command()
def usage(
    data: Data,
    account: Annotated[
        str, typer.Argument(metavar="[ACCOUNT]", help="alice@example.org, or NAMESPACE/alice@example.org; else all.")
    ] = "",
    *,
    namespace: Namespace = "",
    domain: Annotated[str, typer.Option(help="Only the accounts of this domain.", metavar="NAME")] = "",
) -> None:
    """Show how much accounts and domains hold, of how much. The server may run meanwhile."""
    name = str(exchange.account_named(account, namespace)) if account else ""
    conclude(_usage(data, name, _wanted(domain)))


async def _usage(data: Path, name: str, domain: str) -> None:
    directory = tools.directory_of(data)
    homes: set[str] = set()
    lines = []
    async with tools.opened(data) as store:
        async for row in accounts(store.reader):
            if (name and row.name != name) or (domain and row.name.rpartition("@")[2] != domain):
                continue
            lines.append(_account(row, directory))
            homes.add(f"{row.name.partition('/')[0]}/{row.name.rpartition('@')[2]}")
        if name and not lines:
            raise CannotOpen(f"{name} has no mail: nothing was ever stored for it")
        if domain and not lines:
            raise CannotOpen(f"no account of {domain} has mail: nothing was ever stored for one")
        if not name:
            lines += [await _domain(store, home, directory) for home in sorted(homes)]
    _table([_HEAD, *lines])


def _account(row: AccountRow, directory: Directory | None) -> tuple[str, ...]:
    mailbox = directory.declared(row.name) if directory else None
    quota = directory.policy(mailbox).quota_bytes if directory and mailbox else 0
    notes = (
        "legal hold" if row.held else "",
        f"removed {moment(row.released)}" if row.released else "",
        "not declared" if directory and mailbox is None and not row.released else "",
        f"expunged since {moment(row.oldest_expunged)} can be brought back" if row.oldest_expunged else "",
    )
    return (*_filled(row.bytes, quota), f"{row.messages:,}", row.name, ", ".join(filter(None, notes)))


async def _domain(store: Store, home: str, directory: Directory | None) -> tuple[str, ...]:
    used, messages = await store.reader.domain_usage(home)
    declared = directory.domain(home.partition("/")[2]) if directory else None
    return (*_filled(used, declared.quota_bytes if declared else 0), f"{messages:,}", home, "the whole domain")


def _filled(used: int, quota: int) -> tuple[str, str, str]:
    return size(used), size(quota) if quota else "-", f"{used * 100 // quota} %" if quota else "-"


def _table(lines: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        numbers = (cell.rjust(width) for cell, width in zip(line[:4], widths, strict=False))
        typer.echo("  ".join((*numbers, line[4].ljust(widths[4]), line[5])).rstrip())


def _wanted(domain: str) -> str:
    try:
        return own_domain(domain) if domain else ""
    except AddressError as error:
        raise typer.BadParameter(str(error), param_hint="--domain") from error
