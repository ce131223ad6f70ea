"""A writer in a process of its own, with small packs and a short WAL: python store_process.py DATA SOCKET [HOW...].

`compacting`: it looks all the time whether packs can be compacted, and keeps no empty ones. `maildir`: a fresh
directory has its bodies in files.
"""

import signal
import sys

from postrider.store.open import Options, open_writer
from postrider.store.sqlite import compaction
from postrider.telemetry.events import Events

#: So that a short run rolls packs and brings the WAL in.
SMALL = {"allow_tmpfs": True, "measure_sync": False, "pack_size": 256 * 1024, "wal_size": 400 * 1024}

if __name__ == "__main__":
    data, socket, *how = sys.argv[1:]
    if "compacting" in how:
        compaction._LOOK_EVERY, compaction.GRACE = 0.05, 0
    blobs = "maildir" if "maildir" in how else ""
    server = open_writer(data, Options(events=Events(), wait=0, blobs=blobs, **SMALL))
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    server.listen(socket)
    server.run()
