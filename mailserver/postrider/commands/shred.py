"""`postrider-server shred`: removes an account with the key of its mail, so that nothing left of it can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from postrider.app import tools
from postrider.commands import exchange
from postrider.commands.terminal import Data, Namespace, conclude
from postrider.ops import undelete
from postrider.store.directory import CannotOpen
from postrider.store.ports import Reader
from postrider.store.transactions import Release
from postrider.store.values import Account, AccountRow

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def shred(
    account: exchange.Address,
    data: Data,
    *,
    namespace: Namespace = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove all mail of an encrypted account for good. Its key is overwritten and gone; the server may run meanwhile.

    What was encrypted under it, wherever it was copied to, is noise from then on; a backup that was taken before has
    the key too. As long as its Mailbox is declared the account is there again, empty.
    """
    conclude(_shred(exchange.account_named(account, namespace), data, asked=not yes))


async def _shred(account: Account, data: Path, *, asked: bool) -> None:
    async with tools.opened(data) as store:
        rows = await _rows(store.reader, account)
        if not rows:
            raise CannotOpen(f"there is no account {account}, nor anything of one that was removed")
        if clear := [row for row in rows if row.messages and not row.encrypted]:
            raise CannotOpen(f"the mail of {clear[0].name} lies in the clear: there is no key to shred")
        messages = sum(row.messages for row in rows)
        if asked:
            typer.confirm(f"{messages:,} messages of {account} will be gone for good. Shred them?", abort=True)
        for row in rows:
            await store.writer.commit(Release(row.name))
    typer.echo(f"{messages:,} messages of {account} cannot be read by anybody any more, but from backups")


async def _rows(reader: Reader, account: Account) -> list[AccountRow]:
    """The account, and what is kept of those of its name that were removed."""
    present, kept = await reader.account(account), await undelete.kept(reader, account)
    return [*([present] if present else []), *kept]
