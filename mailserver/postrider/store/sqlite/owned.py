"""What users own beside their mail: rights they gave, annotations, things."""

from __future__ import annotations

from postrider.store import transactions as t
from postrider.store.owned import annotation, grant, thing
from postrider.store.sqlite.accounts import Folder, ensure_account, find_folder, next_modseq, note, take_private
from postrider.store.sqlite.transaction import Running
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account


def set_rights(run: Running, txn: t.SetRights) -> t.Done:
    """Rights of one grantee; those who are told are the owner and the grantee."""
    folder = find_folder(run, txn.account, txn.mailbox_id)
    rights = grant(txn)
    if rights:
        run.db.execute(
            "INSERT INTO rights (account_id, mailbox_id, grantee, rights) VALUES (?1, ?2, ?3, ?4)"
            " ON CONFLICT (account_id, mailbox_id, grantee) DO UPDATE SET rights = ?4",
            (*folder.key, txn.grantee, rights),
        )
        _limit(run, folder.key, "rights", "account_id = ? AND mailbox_id = ?", t.MAX_RIGHTS)
    else:
        run.db.execute(
            "DELETE FROM rights WHERE account_id = ? AND mailbox_id = ? AND grantee = ?", (*folder.key, txn.grantee)
        )
        if not run.db.changes():
            return t.Done()
        for user in _shut_out(run, folder, txn):
            take_private(run, folder.key, user)
    modseq = next_modseq(run, folder.account_id)
    run.db.execute("UPDATE mailbox SET changed = ? WHERE account_id = ? AND id = ?", (modseq, *folder.key))
    note(run, folder.account_id, modseq, "rights", f"{folder.id}/{txn.grantee}", gone=not rights)
    run.changed |= {txn.account, Account(txn.grantee)}
    return t.Done()


def _shut_out(run: Running, folder: Folder, txn: t.SetRights) -> list[str]:
    """Users who may not see a folder any more since these rights on it are gone."""
    if run.one("SELECT 1 FROM rights WHERE account_id = ? AND mailbox_id = ? AND grantee = ?", *folder.key, t.ANYONE):
        return []
    if txn.grantee != t.ANYONE:
        return [txn.grantee]
    rows = run.db.execute(
        "SELECT grantee FROM seen WHERE account_id = ?1 AND mailbox_id = ?2 UNION"
        " SELECT owner FROM annotation WHERE account_id = ?1 AND mailbox_id = ?2 AND owner NOT IN ('', ?3) EXCEPT"
        " SELECT grantee FROM rights WHERE account_id = ?1 AND mailbox_id = ?2",
        (*folder.key, txn.account),
    )
    return [str(user) for (user,) in rows.fetchall()]


def annotate(run: Running, txn: t.Annotate) -> t.Done:
    """Annotations of a folder or of the account."""
    if txn.mailbox_id:
        account_id = find_folder(run, txn.account, txn.mailbox_id).account_id
    else:
        account_id = ensure_account(run, txn.account)
    key = (account_id, txn.mailbox_id, txn.owner)
    changed: list[tuple[str, bool]] = []
    for entry, value in annotation(txn):
        if value is None:
            run.db.execute(
                "DELETE FROM annotation WHERE account_id = ? AND mailbox_id = ? AND owner = ? AND entry = ?",
                (*key, entry),
            )
        else:
            run.db.execute(
                "INSERT INTO annotation (account_id, mailbox_id, owner, entry, value) VALUES (?1, ?2, ?3, ?4, ?5)"
                " ON CONFLICT (account_id, mailbox_id, owner, entry) DO UPDATE SET value = ?5",
                (*key, entry, value),
            )
        if run.db.changes():
            changed.append((entry, value is None))
    _limit(run, key, "annotation", "account_id = ? AND mailbox_id = ? AND owner = ?", t.MAX_ANNOTATIONS)
    if changed:
        modseq = next_modseq(run, account_id)
        for entry, gone in changed:
            note(run, account_id, modseq, "annotation", f"{txn.mailbox_id}/{txn.owner}{entry}", gone=gone)
        run.changed.add(txn.account)
    return t.Done()


def put_thing(run: Running, txn: t.PutThing) -> t.Put:
    """A script, a password, an identity."""
    account_id = ensure_account(run, txn.account)
    thing(txn)
    key = (account_id, txn.kind, txn.name)
    if txn.expected is not None:
        row = run.one("SELECT modseq FROM thing WHERE account_id = ? AND kind = ? AND name = ?", *key)
        if (row[0] if row else 0) != txn.expected:
            raise StoreError(Reason.CONFLICT, f"{txn.kind} {txn.name!r} was changed meanwhile")
    if txn.value is None:
        run.db.execute("DELETE FROM thing WHERE account_id = ? AND kind = ? AND name = ?", key)
        if not run.db.changes():
            return t.Put(run.one("SELECT modseq FROM account WHERE id = ?", account_id)[0])
    modseq = next_modseq(run, account_id)
    if txn.value is not None:
        run.db.execute(
            "INSERT INTO thing (account_id, kind, name, value, modseq) VALUES (?1, ?2, ?3, ?4, ?5)"
            " ON CONFLICT (account_id, kind, name) DO UPDATE SET value = ?4, modseq = ?5",
            (*key, txn.value, modseq),
        )
        _limit(run, key[:2], "thing", "account_id = ? AND kind = ?", t.MAX_THINGS)
    note(run, account_id, modseq, "thing", f"{txn.kind}/{txn.name}", gone=txn.value is None)
    run.changed.add(txn.account)
    return t.Put(modseq)


def _limit(run: Running, key: tuple[object, ...], table: str, where: str, most: int) -> None:
    if run.one(f"SELECT count(*) FROM {table} WHERE {where}", *key)[0] > most:
        raise StoreError(Reason.LIMIT, f"at most {most} of them")
