"""`postrider status`: every resource of a namespace that is not as it should be, and what to do."""

from __future__ import annotations

import tempfile
from typing import Annotated, Any

import typer
from kubernetes import client, config, dynamic
from kubernetes.dynamic.exceptions import DynamicApiError, ResourceNotFoundError
from urllib3.exceptions import HTTPError, MaxRetryError

from postrider_operator.crds import COMMAND
from postrider_operator.kinds import KINDS
from postrider_operator.kinds.resource import API_VERSION

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def status(
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace; the context's if not given.")] = "",
    context: Annotated[str, typer.Option(help="Context of the kubeconfig.", show_default=False)] = "",
) -> None:
    """Show how many resources are ready, and why others are not.

    Exit status 1 when there are any, 2 when the cluster cannot be asked.
    """
    try:
        login = config.new_client_from_config(context=context or None)  # type: ignore[no-untyped-call]
        place = namespace or _namespace(context)
        # What the library notes of a cluster it would else note for everybody in /tmp, and believe when it is old.
        with tempfile.TemporaryDirectory() as scratch:
            cluster = dynamic.DynamicClient(login, cache_file=f"{scratch}/known")  # type: ignore[no-untyped-call]
            rows = {kind.INFO.kind: _objects(cluster, kind.INFO.kind, place) for kind in KINDS}
    except (config.ConfigException, client.ApiException, ResourceNotFoundError, HTTPError, OSError) as error:
        typer.echo(f"postrider: the cluster cannot be asked: {_said(error)}", err=True)
        raise typer.Exit(2) from error
    troubled = 0
    for kind, objects in rows.items():
        ready = sum(_ready(row).get("status") == "True" for row in objects)
        typer.echo(f"{kind:<11} {ready} of {len(objects)} ready")
        for row in objects:
            found = _ready(row)
            if found.get("status") != "True":
                troubled += 1
                said = f"{found['reason']}: {found['message']}" if found else "the operator has not seen it yet"
                typer.echo(f"  {row['metadata']['name']}: {said}")
    raise typer.Exit(1 if troubled else 0)


def _said(error: Exception) -> str:
    """What went wrong, without the library's wrapping."""
    if isinstance(error, ResourceNotFoundError):
        return f"it does not know the kinds of {API_VERSION}; to install them: {COMMAND}"
    if isinstance(error, DynamicApiError):
        return str(error.summary())  # type: ignore[no-untyped-call]
    return str(error.reason if isinstance(error, MaxRetryError) else error)


def _namespace(context: str) -> str:
    """The namespace of the context, as kubectl has it."""
    contexts, current = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
    chosen = next((row for row in contexts if row["name"] == context), current)
    return str(chosen.get("context", {}).get("namespace") or "default")


def _objects(cluster: Any, kind: str, namespace: str) -> list[dict[str, Any]]:
    resource = cluster.resources.get(api_version=API_VERSION, kind=kind)
    return list(resource.get(namespace=namespace).to_dict()["items"])


def _ready(row: dict[str, Any]) -> dict[str, Any]:
    rows = row.get("status", {}).get("conditions", ())
    return next((dict(found) for found in rows if found["type"] == "Ready"), {})
