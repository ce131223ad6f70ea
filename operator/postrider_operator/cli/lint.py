"""`postrider lint`: what an API server and the operator would say of YAML files, for pipelines."""

from __future__ import annotations

import typer

from postrider_operator.cli.arguments import Files
from postrider_operator.cli.offline import planned

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def lint(
    path: Files,
) -> None:
    """Check YAML files; exit status 1 when something is wrong. Secrets must be among the files."""
    found = planned(path)
    lines = [str(problem) for problem in found.problems]
    for patch in found.statuses:
        ready = next((row for row in patch.status["conditions"] if row["type"] == "Ready"), None)
        if ready and ready["status"] != "True" and patch.ref in found.places:
            lines.append(f"{found.places[patch.ref]}: {patch.ref}: {ready['reason']}: {ready['message']}")
    for line in sorted(lines):
        typer.echo(line)
    typer.echo(f"{found.objects} objects; problems: {len(lines)}", err=True)
    raise typer.Exit(1 if lines else 0)
