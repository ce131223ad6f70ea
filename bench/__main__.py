"""`make bench`, or `python -m bench NAME [--count N] [--rounds N]`."""

from __future__ import annotations

import argparse

from bench import latency, million, search, smtp_in, store

BENCHES = {
    "store": store.run,
    "search": search.run,
    "search_encrypted": search.run_encrypted,
    "million": million.run,
    "latency": latency.run,
    "smtp_in": smtp_in.run,
}


def main() -> None:
    """Run the benches that are named, all by default."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHES)}; default: all")
    parser.add_argument("--count", type=int, default=5000, help="messages a run (default 5000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each server, in turn (default 3)")
    arguments = parser.parse_args()
    for name in arguments.names or BENCHES:
        print(f"== {name}")
        BENCHES[name](arguments.count, arguments.rounds)


if __name__ == "__main__":
    main()
