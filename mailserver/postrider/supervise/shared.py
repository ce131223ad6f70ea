"""Imported last by the process that children are forked from: what it holds by then stays shared with them.

A collection writes into every object it looks at, and a page that is written becomes a process's own.
"""

import gc

gc.collect()
gc.freeze()
