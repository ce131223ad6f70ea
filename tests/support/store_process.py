"""A writer in a process of its own: python store_process.py DATA SOCKET [PACK_SIZE]."""

import signal
import sys

from postrider.store.open import Options, open_writer
from postrider.telemetry.events import Events

if __name__ == "__main__":
    data, socket, *size = sys.argv[1:]
    sizes = {"pack_size": int(size[0])} if size else {}
    server = open_writer(data, Options(events=Events(), wait=0, allow_tmpfs=True, measure_sync=False, **sizes))
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    server.listen(socket)
    server.run()
