"""`python -m postrider.app SETTINGS` is the supervisor: what the command line becomes once it is understood."""

from __future__ import annotations

import sys

import msgspec

from postrider.app.supervisor import supervise
from postrider.supervise.settings import Settings

if __name__ == "__main__":
    sys.exit(supervise(msgspec.json.decode(sys.argv[1], type=Settings)))
