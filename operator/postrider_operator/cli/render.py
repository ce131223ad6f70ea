"""`postrider render`: the objects the operator would make of YAML files, for review and for pipelines."""

from __future__ import annotations

from typing import Annotated

import typer
import yaml

from postrider_operator.cli.arguments import Files
from postrider_operator.cli.offline import planned

app = typer.Typer(add_completion=False, rich_markup_mode=None)

#: Kinds that hold nothing secret; the others are shown without their content.
_OPEN = frozenset({"StatefulSet", "Service", "NetworkPolicy", "PodDisruptionBudget", "DkimKey", "ConfigMap"})


@app.command()
def render(
    path: Files,
    image: Annotated[str, typer.Option(help="Image of the server.")] = "postrider-server:latest",
) -> None:
    """Print the objects the operator would make. Secrets come without content; what is wrong goes to stderr."""
    found = planned(path, local=False, image=image)
    for problem in found.problems:
        typer.echo(str(problem), err=True)
    rows = [*(intent.object for intent in found.generates), *(intent.object for intent in found.applies)]
    shown = (row if row["kind"] in _OPEN else {k: v for k, v in row.items() if k != "data"} for row in rows)
    typer.echo(yaml.safe_dump_all(shown, sort_keys=False, width=120), nl=False)
    raise typer.Exit(1 if found.problems else 0)
