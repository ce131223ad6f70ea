"""`postrider dns`: the records to publish, as a zone file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from postrider.contract import dns as records
from postrider.model.address import AddressError, own_domain
from postrider_operator.cli.arguments import Files
from postrider_operator.cli.offline import planned

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def dns(
    path: Files,
    domain: Annotated[str, typer.Option(help="Only this domain.", show_default=False)] = "",
    data: Annotated[Path, typer.Option(help="Data of `postrider up`: its keys are published.")] = Path(".postrider"),
) -> None:
    """Print the DNS records to publish for the domains. Keys are those that `postrider up` has generated."""
    state = data / "state" / "generated"
    if not state.is_dir():
        raise typer.BadParameter(f"{data} has no keys yet: start `postrider up {path}` once, or give --data")
    name = _name(domain)
    snapshot = planned(path, state=state).snapshot
    found = [d for d in snapshot.domains if name in ("", d.name)] if snapshot else []
    if snapshot is None or not found:
        typer.echo(f"postrider: no domain {domain}".rstrip() + f" is served by {path}", err=True)
        raise typer.Exit(1)
    for row in found:
        typer.echo(f"; {row.name}")
        keys = [key for key in snapshot.keys if key.domain == row.name]
        typer.echo(records.zone_file(records.wanted_records(snapshot.server, row, keys)))


def _name(domain: str) -> str:
    """The domain as a snapshot has it, however it is written."""
    try:
        return own_domain(domain) if domain else ""
    except AddressError as error:
        raise typer.BadParameter(str(error), param_hint="--domain") from error
