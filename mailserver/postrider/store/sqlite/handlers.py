"""The table of transactions: type -> handler, and the type of its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from postrider.store import transactions as t
from postrider.store.sqlite import accounts, delivery, folders, keeping, ledger, messages, owned, queue, staging
from postrider.store.sqlite.transaction import Running

Handler = Callable[[Running, Any], object]

HANDLERS: Mapping[type[t.Txn], Handler] = {
    t.Intake: delivery.intake,
    t.Append: delivery.append,
    t.Replace: messages.replace,
    t.Copy: messages.copy,
    t.BeginCopy: staging.begin,
    t.StageCopy: staging.stage,
    t.FinishCopy: staging.finish,
    t.DropCopy: staging.drop,
    t.SetFlags: messages.set_flags,
    t.Expunge: messages.expunge,
    t.Recache: messages.recache,
    t.OpenAccount: accounts.open_account,
    t.CreateMailbox: folders.create,
    t.DeleteMailbox: folders.delete,
    t.RenameMailbox: folders.rename,
    t.SetRole: folders.set_role,
    t.Subscribe: folders.subscribe,
    t.TouchRecent: folders.touch_recent,
    t.Undelete: keeping.undelete,
    t.Collect: keeping.collect,
    t.Expire: keeping.expire,
    t.PruneTombstones: keeping.prune,
    t.SetHold: accounts.set_hold,
    t.Release: accounts.release,
    t.Reinstate: accounts.reinstate,
    t.SetRights: owned.set_rights,
    t.Annotate: owned.annotate,
    t.PutThing: owned.put_thing,
    t.Claim: queue.claim,
    t.FreeClaims: queue.free_claims,
    t.Renew: queue.renew,
    t.Settle: queue.settle,
    t.Administer: queue.administer,
    t.Remember: ledger.remember,
}
