"""A writer in a process of its own, with small packs and a short WAL: python store_process.py DATA SOCKET [HOW...].

`compacting`: it looks all the time whether packs can be compacted, and keeps no empty ones. `maildir`: a fresh
directory has its bodies in files. `encrypted`: mail is.
"""

import signal
import sys
import threading
from pathlib import Path

from stored import MASTERS

from postrider.store.open import Options, keyring, open_writer
from postrider.store.sqlite import compaction, upkeep
from postrider.telemetry.events import Events

#: So that a short run rolls packs and brings the WAL in.
SMALL = {"allow_tmpfs": True, "measure_sync": False, "pack_size": 256 * 1024, "wal_size": 400 * 1024}


def keys_of(data, how=("encrypted",)):
    """The keys of an encrypted directory, None of any other."""
    return keyring(Path(data), MASTERS) if "encrypted" in how else None


def stop_at_sigterm(server):
    """Stop it when SIGTERM comes, which every thread has blocked: a thread of its own waits for it.

    A handler would wait for the main thread, which sleeps on when the kernel gives the signal to another one.
    """
    signal.sigwait({signal.SIGTERM})
    server.stop()


if __name__ == "__main__":
    data, socket, *how = sys.argv[1:]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    if "compacting" in how:
        compaction._LOOK_EVERY, compaction.GRACE, upkeep.IDLE = 0.05, 0, 0.05
    blobs = "maildir" if "maildir" in how else ""
    options = Options(events=Events(), wait=0, blobs=blobs, keys=keys_of(data, how), **SMALL)
    server = open_writer(data, options)
    threading.Thread(target=stop_at_sigterm, args=(server,), daemon=True).start()
    server.listen(socket)
    server.run()
