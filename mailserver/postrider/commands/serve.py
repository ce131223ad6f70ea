"""`postrider-server` without a command, or `serve`: becomes the supervisor of a process group."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from postrider import roles
from postrider.supervise.settings import LogLevel, Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def serve(  # noqa: PLR0913 -- each parameter is a flag
    snapshot: Annotated[Path, typer.Option(help="Directory of the snapshot.", envvar="POSTRIDER_SNAPSHOT")],
    data: Annotated[Path, typer.Option(help="Directory of mail and state.", envvar="POSTRIDER_DATA")],
    *,
    listen_address: Annotated[
        str, typer.Option(help="IP address to listen on.", envvar="POSTRIDER_LISTEN_ADDRESS")
    ] = "0.0.0.0",  # noqa: S104 -- a mail server listens to the world
    ports: Annotated[
        str, typer.Option(help="unprivileged (2525, 2587 ...), auto, or BASE to add to 25, 587, 465, 143, 993, 80, 90.")
    ] = roles.UNPRIVILEGED,
    role: Annotated[list[roles.Role] | None, typer.Option(help="Run only these roles (repeatable).")] = None,
    fronts: Annotated[int, typer.Option(min=0, help="Listening processes; 0: one a core, two at least.")] = 0,
    resolver: Annotated[
        str, typer.Option(help="DNS server, HOST:PORT; the system's if not given.", envvar="POSTRIDER_RESOLVER")
    ] = "",
    ready_file: Annotated[Path | None, typer.Option(help="Write JSON with the listeners here once serving.")] = None,
    log_level: Annotated[
        LogLevel,
        typer.Option(help="The least that is logged.", envvar="POSTRIDER_LOG_LEVEL", case_sensitive=False),
    ] = LogLevel.INFO,
    drain_seconds: Annotated[float, typer.Option(min=0, help="What SIGTERM leaves for sessions under way.")] = 20.0,
    lock_seconds: Annotated[
        float, typer.Option(min=0, help="How long to wait for another server to leave the data directory.")
    ] = 30.0,
    end_with_stdin: Annotated[bool, typer.Option(help="End at once when standard input ends.")] = False,
    allow_tmpfs: Annotated[bool, typer.Option(help="Keep mail in a memory filesystem (tests).")] = False,
) -> None:
    """Serve mail: SMTP, submission and IMAP, as the snapshot says. What is done when no command is named."""
    chosen = tuple(role or roles.Role)
    try:
        numbers = roles.ports(ports, chosen)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if resolver:
        _check_resolver(resolver)
    settings = Settings(
        snapshot=str(snapshot.absolute()),
        data=str(data.absolute()),
        address=listen_address,
        ports=numbers,
        roles=chosen,
        fronts=fronts or max(len(os.sched_getaffinity(0)), 2),
        resolver=resolver,
        ready_file=str(ready_file.absolute()) if ready_file else "",
        log_level=log_level,
        drain_seconds=drain_seconds,
        lock_seconds=lock_seconds,
        end_with_stdin=end_with_stdin,
        allow_tmpfs=allow_tmpfs,
    )
    # The supervisor takes this process over, without what only the command line needed.
    os.execv(sys.executable, [sys.executable, "-m", "postrider.app", msgspec.json.encode(settings).decode()])  # noqa: S606


def _check_resolver(text: str) -> None:
    from postrider.net.resolver import nameserver  # noqa: PLC0415 - it takes a while, and hardly anybody names one

    try:
        nameserver(text)
    except ValueError as error:
        raise typer.BadParameter(f"resolver: {text!r} is no IP address, nor one with :PORT") from error
