"""The table of transactions: type -> handler, and the type of its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from postrider.store import transactions as t
from postrider.store.sqlite import delivery, folders, ledger, messages, queue, removal
from postrider.store.sqlite.transaction import Running

Handler = Callable[[Running, Any], object]

HANDLERS: Mapping[type[t.Txn], Handler] = {
    t.Intake: delivery.intake,
    t.Append: delivery.append,
    t.Copy: messages.copy,
    t.SetFlags: messages.set_flags,
    t.Expunge: messages.expunge,
    t.OpenAccount: folders.open_account,
    t.CreateMailbox: folders.create,
    t.DeleteMailbox: folders.delete,
    t.RenameMailbox: folders.rename,
    t.Subscribe: folders.subscribe,
    t.TouchRecent: folders.touch_recent,
    t.Release: removal.release_account,
    t.Claim: queue.claim,
    t.FreeClaims: queue.free_claims,
    t.Renew: queue.renew,
    t.Settle: queue.settle,
    t.Administer: queue.administer,
    t.Remember: ledger.remember,
}
