"""What several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Files = Annotated[Path, typer.Argument(exists=True, help="Directory of YAML files, or one file.", show_default=False)]
