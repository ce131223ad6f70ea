"""`python -m postrider.app NAME INDEX DESCRIPTOR SETTINGS`: a child, as supervise.processes starts it."""

from __future__ import annotations

import sys

from postrider.app.processes import child

if __name__ == "__main__":
    name, index, descriptor, settings = sys.argv[1:]
    sys.exit(child(name, int(index), int(descriptor), settings))
