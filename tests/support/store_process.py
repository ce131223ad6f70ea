"""A writer in a process of its own, with small packs and a short WAL: python store_process.py DATA SOCKET."""

import signal
import sys

from postrider.store.open import Options, open_writer
from postrider.telemetry.events import Events

#: So that a short run rolls packs and brings the WAL in.
SMALL = {"allow_tmpfs": True, "measure_sync": False, "pack_size": 256 * 1024, "wal_size": 400 * 1024}

if __name__ == "__main__":
    data, socket = sys.argv[1:]
    server = open_writer(data, Options(events=Events(), wait=0, **SMALL))
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    server.listen(socket)
    server.run()
