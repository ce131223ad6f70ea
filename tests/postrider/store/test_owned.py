"""Conformance: rights, a user's own seen flags, annotations, things, quotas of domains."""

import pytest
from stored import ALICE, BOB, INBOX, append, body_of, intake

from postrider.store import transactions as t
from postrider.store.owned import grant
from postrider.store.transactions import FlagChange, Reason, StoreError
from postrider.store.values import AnnotationRow, Flag, RightsRow, SeenRow, ThingRow, account_of

CAROL = account_of("mail", "carol@b.test")


async def refusal(awaitable):
    with pytest.raises(StoreError) as caught:
        await awaitable
    return caught.value.reason


async def test_rights_are_found_by_folder_and_by_grantee(commit, reader):
    await commit(t.OpenAccount(BOB))
    await commit(t.SetRights(ALICE, INBOX, BOB, "rswr"))
    await commit(t.SetRights(ALICE, 2, "anyone", "lr"))
    assert await reader.rights(ALICE) == [RightsRow(1, BOB, "rsw"), RightsRow(2, "anyone", "lr")]
    assert await reader.rights(ALICE, 2) == [RightsRow(2, "anyone", "lr")]
    shared = await reader.shared_with([BOB, "anyone"])
    assert [(row.account, row.mailbox.name, row.grantee, row.rights) for row in shared] == [
        (ALICE, "INBOX", BOB, "rsw"),
        (ALICE, "Sent", "anyone", "lr"),
    ]
    assert await reader.shared_with([CAROL]) == []
    await commit(t.SetRights(ALICE, INBOX, BOB, ""))
    await commit(t.SetRights(ALICE, INBOX, CAROL, ""))
    assert await reader.shared_with([BOB]) == []


async def test_whoever_gets_the_name_next_has_no_rights(commit, reader):
    await commit(t.OpenAccount(BOB))
    await commit(append(INBOX, b"1"))
    for grantee in (BOB, CAROL):
        await commit(t.SetRights(ALICE, INBOX, grantee, "r"))
        await commit(t.SetFlags(ALICE, INBOX, (1,), FlagChange.ADD, Flag.SEEN, grantee=grantee))
        await commit(t.Annotate(ALICE, INBOX, grantee, (("/private/comment", b"c"),)))
    before = await reader.account(ALICE)
    await commit(t.Release(BOB))
    assert await reader.shared_with([BOB]) == []
    assert await reader.seen(ALICE, INBOX, BOB) == []
    assert await reader.annotations(ALICE, INBOX, [BOB]) == []
    assert [row.uid for row in await reader.seen(ALICE, INBOX, CAROL)] == [1]
    assert [row.value for row in await reader.annotations(ALICE, INBOX, [CAROL])] == [b"c"]
    assert (await reader.account(ALICE)).modseq > before.modseq


@pytest.mark.parametrize("grantee", [BOB, "anyone"])
@pytest.mark.parametrize("taken_first", [True, False])
async def test_nor_what_was_private_though_the_rights_were_taken_before(commit, reader, grantee, taken_first):
    await commit(t.OpenAccount(BOB))
    await commit(append(INBOX, b"1"))
    await commit(t.SetRights(ALICE, INBOX, CAROL, "r"))
    await commit(t.SetRights(ALICE, INBOX, grantee, "r"))
    for user in (ALICE, BOB, CAROL):
        await commit(t.Annotate(ALICE, INBOX, user, (("/private/comment", b"c"),)))
    for user in (BOB, CAROL):
        await commit(t.SetFlags(ALICE, INBOX, (1,), FlagChange.ADD, Flag.SEEN, grantee=user))
    if taken_first:
        await commit(t.SetRights(ALICE, INBOX, grantee, ""))
    await commit(t.Release(BOB))
    await commit(t.SetRights(ALICE, INBOX, BOB, "r"))
    assert await reader.seen(ALICE, INBOX, BOB) == []
    assert [row.owner for row in await reader.annotations(ALICE, INBOX, [ALICE, BOB, CAROL])] == [ALICE, CAROL]
    assert [row.uid for row in await reader.seen(ALICE, INBOX, CAROL)] == [1]


async def test_what_is_private_stays_while_anyone_may_see_the_folder(commit, reader):
    await commit(append(INBOX, b"1"))
    for grantee in (BOB, "anyone"):
        await commit(t.SetRights(ALICE, INBOX, grantee, "r"))
    await commit(t.SetFlags(ALICE, INBOX, (1,), FlagChange.ADD, Flag.SEEN, grantee=BOB))
    await commit(t.SetRights(ALICE, INBOX, BOB, ""))
    assert [row.uid for row in await reader.seen(ALICE, INBOX, BOB)] == [1]


async def test_rights_go_with_the_folder(commit, reader):
    made = await commit(t.CreateMailbox(ALICE, "x"))
    await commit(t.SetRights(ALICE, made.id, "anyone", "l"))
    await commit(t.Annotate(ALICE, made.id, "", (("/shared/comment", b"c"),)))
    await commit(t.DeleteMailbox(ALICE, made.id))
    assert await reader.shared_with(["anyone"]) == []
    assert await reader.annotations(ALICE, made.id, [""]) == []


@pytest.mark.parametrize(("grantee", "rights"), [("", "r"), ("x" * 1001, "r"), (BOB, "r s"), (BOB, "é")])
async def test_what_are_no_rights_is_refused(commit, grantee, rights):
    assert await refusal(commit(t.SetRights(ALICE, INBOX, grantee, rights))) is Reason.INVALID


def test_a_grantee_is_text():
    with pytest.raises(StoreError) as caught:
        grant(t.SetRights(ALICE, INBOX, "\ud800", "r"))
    assert caught.value.reason is Reason.INVALID


async def test_seen_is_each_users_own_on_a_shared_folder(commit, reader):
    done = await commit(append(INBOX, b"1", b"2", b"3", flags=Flag.FLAGGED))
    stored = await commit(t.SetFlags(ALICE, INBOX, (1, 2), FlagChange.ADD, Flag.SEEN, grantee=BOB))
    assert stored.modseq > done.modseq
    assert await reader.seen(ALICE, INBOX, BOB) == [SeenRow(1, True, stored.modseq), SeenRow(2, True, stored.modseq)]
    assert await reader.seen(ALICE, INBOX, CAROL) == []
    assert [row.flags for row in await reader.flags(ALICE, INBOX)] == [4, 4, 4]
    assert (await reader.mailbox(ALICE, INBOX)).unseen == 3
    again = await commit(t.SetFlags(ALICE, INBOX, (1, 2), FlagChange.ADD, Flag.SEEN, grantee=BOB))
    assert again.modseq == stored.modseq
    late = t.SetFlags(ALICE, INBOX, (1, 3), FlagChange.REMOVE, Flag.SEEN, grantee=BOB, unchanged_since=done.modseq)
    assert (await commit(late)).modified == (1,)
    whole = await commit(t.SetFlags(ALICE, INBOX, (1,), FlagChange.REPLACE, Flag.DRAFT, ("k",), grantee=BOB))
    assert await reader.seen(ALICE, INBOX, BOB, stored.modseq) == [SeenRow(1, False, whole.modseq)]
    assert [row.flags for row in await reader.flags(ALICE, INBOX)] == [16, 4, 4]
    await commit(t.SetFlags(ALICE, INBOX, (2,), FlagChange.ADD, Flag.DELETED | Flag.SEEN, grantee=CAROL))
    await commit(t.Expunge(ALICE, INBOX, (2,)))
    assert [row.uid for row in await reader.seen(ALICE, INBOX, BOB)] == [1]
    assert await reader.seen(ALICE, INBOX, CAROL) == []


async def test_annotations_are_shared_or_private(commit, reader):
    await commit(t.Annotate(ALICE, INBOX, "", (("/Shared/Comment", b"all"), ("/shared/x", b"y"))))
    await commit(t.Annotate(ALICE, INBOX, BOB, (("/private/comment", b"mine"),)))
    await commit(t.Annotate(ALICE, 0, "", (("/shared/admin", b"a"),)))
    await commit(t.Annotate(ALICE, INBOX, "", (("/shared/comment", b"new"), ("/shared/x", None), ("/shared/no", None))))
    assert await reader.annotations(ALICE, INBOX, ["", BOB]) == [
        AnnotationRow(INBOX, "", "/shared/comment", b"new"),
        AnnotationRow(INBOX, BOB, "/private/comment", b"mine"),
    ]
    assert await reader.annotations(ALICE, 0, [""]) == [AnnotationRow(0, "", "/shared/admin", b"a")]
    assert await refusal(commit(t.Annotate(ALICE, INBOX, "", (("comment", b""),)))) is Reason.INVALID
    large = (("/a", b"1"), ("/b", b"x" * (t.MAX_ANNOTATION + 1)))
    assert await refusal(commit(t.Annotate(ALICE, INBOX, "", large))) is Reason.LIMIT
    many = tuple((f"/many/{n}", b"") for n in range(t.MAX_ANNOTATIONS + 1))
    assert await refusal(commit(t.Annotate(ALICE, 0, BOB, many))) is Reason.LIMIT
    assert await reader.annotations(ALICE, 0, [BOB]) == []


async def test_things_are_kept_and_conflicts_told(commit, reader):
    first = await commit(t.PutThing(ALICE, "sieve", "main", b"keep;", expected=0))
    assert await reader.things(ALICE, "sieve") == [ThingRow("sieve", "main", b"keep;", first.modseq)]
    assert await refusal(commit(t.PutThing(ALICE, "sieve", "main", b"stop;", expected=0))) is Reason.CONFLICT
    second = await commit(t.PutThing(ALICE, "sieve", "main", b"stop;", expected=first.modseq))
    await commit(t.PutThing(ALICE, "identity", "1", b"{}"))
    assert [row.kind for row in await reader.things(ALICE)] == ["identity", "sieve"]
    gone = await commit(t.PutThing(ALICE, "sieve", "main", None, expected=second.modseq))
    assert gone.modseq > second.modseq
    assert await reader.things(ALICE, "sieve") == []
    assert await refusal(commit(t.PutThing(ALICE, "a/b", "x", b""))) is Reason.INVALID
    assert await refusal(commit(t.PutThing(ALICE, "sieve", "x", b"x" * (t.MAX_THING + 1)))) is Reason.LIMIT


async def test_a_domains_quota_holds_for_all_its_accounts(commit, reader):
    await commit(append(INBOX, b"x" * 60, account=ALICE))
    over = t.Append(BOB, INBOX, append(INBOX, b"y" * 50).messages, domain_quota_bytes=100)
    assert await refusal(commit(over)) is Reason.OVER_QUOTA
    assert await reader.domain_usage("mail/a.test") == (60, 1)
    await commit(t.Append(BOB, INBOX, append(INBOX, b"y" * 40).messages, domain_quota_bytes=100))
    assert await reader.domain_usage("mail/a.test") == (100, 2)
    await commit(t.Append(CAROL, INBOX, append(INBOX, b"z").messages, domain_quota_bytes=100))
    assert await reader.domain_usage("mail/b.test") == (1, 1)
    assert await refusal(commit(t.Copy(BOB, INBOX, (1,), 2, domain_quota_bytes=100))) is Reason.OVER_QUOTA
    await commit(t.SetFlags(ALICE, INBOX, (1,), FlagChange.ADD, Flag.DELETED))
    await commit(t.Expunge(ALICE, INBOX, (1,)))
    await commit(t.Copy(BOB, INBOX, (1,), 2, domain_quota_bytes=100))
    assert await reader.domain_usage("mail/a.test") == (80, 2)
    await commit(t.Release(BOB))
    assert await reader.domain_usage("mail/a.test") == (0, 0)


async def test_a_delivery_over_the_domains_quota_waits(commit, reader):
    deliver = tuple(
        t.Deliver(account, b"", recipient=account.partition("/")[2], domain_quota_bytes=30) for account in (ALICE, BOB)
    )
    done = await commit(intake(data=b"x" * 20, deliver=deliver))
    assert [stored.account for stored in done.stored] == [ALICE]
    assert done.deferred == ("bob@a.test",)
    assert await reader.domain_usage("mail/a.test") == (20, 1)


async def test_keys_make_an_append_store_once(commit, reader):
    new = t.NewMessage(body_of(b"1"), 0, b"", key=b"k1")
    other = t.NewMessage(body_of(b"22"), 0, b"", key=b"k2")
    first = await commit(t.Append(ALICE, INBOX, (new, new)))
    assert first.target == (1, 1)
    assert await commit(t.Append(ALICE, INBOX, (new,))) == t.Uids(first.uidvalidity, (1,), modseq=first.modseq)
    assert (await commit(t.Append(ALICE, INBOX, (other, new)))).target == (2, 1)
    assert await reader.usage(ALICE) == (3, 2)
    assert await reader.appended(ALICE, [b"k1", b"k2", b"k3"]) == {b"k1", b"k2"}
    assert (await commit(t.Append(ALICE, 2, (new,)))).target == (1,)
    assert (await commit(t.Append(BOB, INBOX, (new,)))).target == (1,)
    long = t.NewMessage(body_of(b"1"), 0, b"", key=b"k" * (t.MAX_KEY + 1))
    assert await refusal(commit(t.Append(ALICE, INBOX, (long,)))) is Reason.INVALID
