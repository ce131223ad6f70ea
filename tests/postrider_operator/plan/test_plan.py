"""What the whole plan promises: no write without a cause, held losses, stable pod templates, children that return."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from postrider_operator.plan import known_names, plan, wanted_secrets
from postrider_operator.plan.desired import HASH
from postrider_operator.plan.secrets import unhashed
from postrider_operator.world import Pod, Ref, World

SERVER = ("MailServer", "default", {"hostname": "mail.example.org"})
DOMAIN = ("MailDomain", "example.org", None)
ALICE = ("Mailbox", "alice", {"address": "alice@example.org"})


def boxes(count: int) -> list[Any]:
    return [("Mailbox", f"m{n}", {"address": f"m{n}@example.org"}) for n in range(count)]


def ref(kind: str, name: str) -> Ref:
    return Ref(kind, "mail", name)


def test_a_plan_of_an_unchanged_world_says_nothing_new(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, ALICE)
    namespace.now += 600
    world = namespace.world()
    desired = plan(world)

    assert (desired.generates, desired.deletes, desired.statuses, desired.events) == ((), (), (), ())
    hashes = {child.ref: child.annotations.get(HASH) for child in world.children}
    assert [apply.ref for apply in desired.applies if hashes.get(apply.ref) != apply.hash] == []
    assert plan(world) == desired


def test_maildirs_are_where_other_programs_look_and_nothing_else_differs(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, ALICE)
    packs = namespace.objects[ref("StatefulSet", "default-mail")]["spec"]["template"]
    declare(("MailServer", "default", {"hostname": "mail.example.org", "storage": {"blobs": "maildir"}}), DOMAIN, ALICE)
    template = namespace.objects[ref("StatefulSet", "default-mail")]["spec"]["template"]
    mounts = template["spec"]["containers"][0]["volumeMounts"]
    assert mounts.pop() == {"name": "data", "mountPath": "/var/mail", "subPath": "maildir"}
    assert template == packs


def test_pod_churn_is_not_status_churn(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, ALICE)
    generation = namespace.desired.generation
    namespace.follow = False
    for pods in ((), (Pod("default-mail-0", False),), (Pod("default-mail-0", True, generation - 1),)):
        namespace.pods = pods
        told = {patch.ref.kind for patch in plan(namespace.world()).statuses}
        assert told <= {"MailServer"}, pods


def test_ready_is_earned_by_pods_that_loaded(namespace: Any, declare: Any) -> None:
    namespace.follow = False
    declare(SERVER, DOMAIN, ALICE)
    assert namespace.ready("Mailbox", "alice") == ("False", "Progressing")
    assert namespace.ready("MailServer", "default") == ("False", "Starting")

    generation = namespace.desired.generation
    namespace.pods = (Pod("default-mail-0", True, generation), Pod("default-mail-1", True, generation - 1))
    namespace.settle()
    assert namespace.ready("Mailbox", "alice") == ("False", "Progressing")

    namespace.pods = (Pod("default-mail-0", True, generation), Pod("default-mail-1", False))
    namespace.settle()
    assert namespace.ready("Mailbox", "alice") == ("True", "Serving")


def test_a_change_makes_only_its_own_object_wait(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, ALICE)
    namespace.follow = False
    declare(SERVER, DOMAIN, ALICE, *boxes(1))

    assert namespace.ready("Mailbox", "alice") == ("True", "Serving")
    assert namespace.ready("Mailbox", "m0") == ("False", "Progressing")


def test_the_pod_template_does_not_change_with_domains_and_mailboxes(namespace: Any, declare: Any) -> None:
    declare(SERVER)
    before = namespace.objects[ref("StatefulSet", "default-mail")]["spec"]
    declare(SERVER, DOMAIN, ("MailDomain", "example.net", None), *boxes(40))

    assert namespace.objects[ref("StatefulSet", "default-mail")]["spec"] == before


def test_a_new_mailbox_changes_one_part_and_the_manifest(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, *boxes(40))
    before = {apply.ref: apply.hash for apply in namespace.desired.applies}
    declare(SERVER, DOMAIN, *boxes(40), ALICE)
    changed = [apply.ref.name for apply in namespace.desired.applies if before.get(apply.ref) != apply.hash]

    assert len(changed) == 2
    assert changed[0].startswith("default-dir-")
    assert changed[1] == "default-manifest"


def test_the_manifest_is_last_and_guarded(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN)
    world = namespace.world()
    last = plan(world).applies[-1]

    assert last.ref.name == "default-manifest"
    assert last.object["metadata"]["resourceVersion"] == world.manifest_version != ""


def test_too_many_lost_mailboxes_are_held_until_acknowledged(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, *boxes(30))
    declare(SERVER, DOMAIN, *boxes(19))
    held = namespace.snapshot()
    assert len(held.mailboxes) == 30
    synced = next(c for c in namespace.status("MailServer", "default")["conditions"] if c["type"] == "ConfigSynced")
    assert (synced["status"], synced["reason"]) == ("False", "Held")
    assert f"postrider.dev/acknowledge={held.held}" in synced["message"]

    declare(SERVER, DOMAIN, *boxes(19), ALICE)  # everything else goes on
    assert len(namespace.snapshot().mailboxes) == 31
    assert namespace.ready("Mailbox", "alice") == ("True", "Serving")

    namespace.objects[ref("MailServer", "default")]["metadata"]["annotations"] = {
        "postrider.dev/acknowledge": str(held.held)
    }
    namespace.settle()
    assert len(namespace.snapshot().mailboxes) == 20
    assert namespace.snapshot().held == 0


def test_losses_are_held_with_their_domain(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, *boxes(20))
    declare(SERVER)
    published = namespace.snapshot()

    assert len(published.mailboxes) == 20
    assert [row.name for row in published.domains] == ["example.org"]
    assert {row.selector for row in published.keys} == {"rsa1", "ed1"}


def test_few_lost_mailboxes_are_believed(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, *boxes(30))
    declare(SERVER, DOMAIN, *boxes(20))

    assert len(namespace.snapshot().mailboxes) == 20


def test_generations_only_grow(namespace: Any, declare: Any) -> None:
    namespace.follow = False
    namespace.pods = (Pod("default-mail-0", True, loaded=41),)
    declare(SERVER, DOMAIN)

    assert namespace.snapshot().generation == 42


def test_children_return_with_what_was_in_them(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, ALICE)
    before = namespace.snapshot()
    for child in [r for r in namespace.objects if r.kind in ("Service", "StatefulSet", "ConfigMap", "DkimKey")]:
        namespace.delete(child)
    for part in [r for r in namespace.objects if "-dir-" in r.name or "-keys-" in r.name]:
        namespace.delete(part)
    namespace.settle()

    assert namespace.snapshot() == before


def test_the_same_yaml_applied_again_gets_the_same_keys_and_passwords(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, ALICE)
    before = namespace.snapshot()
    declare()
    declare(ALICE)
    declare(DOMAIN, ALICE)
    declare(SERVER, DOMAIN, ALICE)
    after = namespace.snapshot()

    assert [row.pem for row in after.keys] == [row.pem for row in before.keys]
    assert [row.verifiers for row in after.mailboxes] == [row.verifiers for row in before.mailboxes]
    assert after.generation > before.generation


def test_a_foreign_object_is_never_adopted(namespace: Any, declare: Any) -> None:
    rows = (SERVER, DOMAIN, ALICE, ("Secret", "alice-password", {"password": "mine"}))
    declare(*rows)

    assert namespace.ready("Mailbox", "alice") == ("False", "NameTaken")
    assert namespace.objects[ref("Secret", "alice-password")]["stringData"] == {"password": "mine"}


def test_a_changed_password_is_a_changed_row_and_an_unchanged_one_is_not_hashed_again(
    namespace: Any, declare: Any
) -> None:
    box = ("Mailbox", "alice", {"address": "alice@example.org", "passwordSecretRef": {"name": "login"}})
    declare(SERVER, DOMAIN, box, ("Secret", "login", {"password": "one"}))
    first = namespace.snapshot().mailboxes[0].verifiers
    namespace._verifiers.clear()
    declare(SERVER, DOMAIN, box, ("Secret", "login", {"password": "one"}), *boxes(1))
    assert namespace.snapshot().mailboxes[0].verifiers == first

    namespace.put(ref("Secret", "login"), {"kind": "Secret", "stringData": {"password": "two"}})
    namespace.settle()
    assert namespace.snapshot().mailboxes[0].verifiers != first


def test_a_given_hash_is_taken_as_it_is(namespace: Any, declare: Any) -> None:
    given = "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"
    box = ("Mailbox", "alice", {"address": "alice@example.org", "passwordSecretRef": {"name": "login"}})
    declare(SERVER, DOMAIN, box, ("Secret", "login", {"password": given}))

    assert namespace.snapshot().mailboxes[0].verifiers == (given,)


def test_what_nobody_can_log_in_with_is_no_password(namespace: Any, declare: Any) -> None:
    own = ("Mailbox", "alice", {**ALICE[2], "passwordSecretRef": {"name": "own"}})
    declare(SERVER, DOMAIN, own, ("Secret", "own", {"password": "x" * 1025}))
    assert namespace.ready("Mailbox", "alice") == ("False", "InvalidPassword")
    declare(SERVER, DOMAIN, own, ("Secret", "own", {"password": "x" * 1024}))
    assert namespace.ready("Mailbox", "alice") == ("True", "Serving")


def test_deletion_policy_delete_hands_generated_objects_to_their_owner(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, ALICE)
    declare(SERVER, DOMAIN, ("Mailbox", "alice", {**ALICE[2], "deletionPolicy": "Delete"}))
    owner = namespace.objects[ref("Secret", "alice-password")]["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("Mailbox", "alice")

    declare(SERVER, DOMAIN, ALICE)
    assert "ownerReferences" not in namespace.objects[ref("Secret", "alice-password")]["metadata"]
    declare(SERVER, DOMAIN, ("Mailbox", "alice", {**ALICE[2], "deletionPolicy": "Delete"}))
    declare(SERVER, DOMAIN)
    assert ref("Secret", "alice-password") not in namespace.objects


@pytest.mark.parametrize(
    ("secret", "at"), [("alice-password", ALICE), ("example.org-rsa1-dkim", DOMAIN), ("default-ca", SERVER)]
)
def test_what_was_created_to_be_deleted_is_retained_once_that_is_said(
    namespace: Any, declare: Any, secret: str, at: Any
) -> None:
    """And the other way round, at any time: the deletionPolicy of the moment of deletion counts."""
    given = (SERVER, DOMAIN, ALICE)

    def say(policy: str) -> None:
        kind, name, spec = at
        declare(*(row for row in given if row != at), (kind, name, {**(spec or {}), "deletionPolicy": policy}))

    for last, stays in (("Retain", True), ("Delete", False)):
        for policy in ("Delete", "Retain", last):
            say(policy)
        declare(*(row for row in given if row != at))
        assert (ref("Secret", secret) in namespace.objects) == stays, last


def test_own_dkim_keys_replace_the_generated_ones(namespace: Any, declare: Any, pems: dict[str, str]) -> None:
    declare(SERVER, DOMAIN)
    own = ("DkimKey", "mine", {"domain": "example.org", "selector": "mine", "secretRef": {"name": "mine"}})
    declare(SERVER, DOMAIN, own, ("Secret", "mine", {"key.pem": pems["RSA"]}))

    assert namespace.snapshot().domains[0].selectors == ("mine",)
    assert {r.name for r in namespace.objects if r.kind == "DkimKey"} == {"mine"}
    assert ref("Secret", "example.org-rsa1-dkim") in namespace.objects


def test_an_unusable_own_key_does_not_stop_the_generated_ones(namespace: Any, declare: Any) -> None:
    own = ("DkimKey", "mine", {"domain": "example.org", "selector": "mine", "secretRef": {"name": "mine"}})
    declare(SERVER, DOMAIN, own, ("Secret", "mine", {"key.pem": "no key"}))

    assert namespace.ready("DkimKey", "mine") == ("False", "BadKey")
    assert namespace.snapshot().domains[0].selectors == ("rsa1", "ed1")


def test_an_issued_certificate_is_renewed_at_two_thirds_of_its_life(namespace: Any, declare: Any) -> None:
    declare(SERVER)
    first = namespace.snapshot().certificates[0]
    assert namespace.desired.again == pytest.approx(60 * 24 * 3600, abs=3600)
    namespace.now += 59 * 24 * 3600
    namespace.settle()
    assert namespace.snapshot().certificates[0] == first

    namespace.now += 2 * 24 * 3600
    namespace.settle()
    assert namespace.snapshot().certificates[0] != first


def test_a_volume_grows_by_a_new_statefulset_over_the_same_pods_and_never_shrinks(namespace: Any, declare: Any) -> None:
    declare(SERVER)
    claim = ref("PersistentVolumeClaim", "data-default-mail-0")
    namespace.put(claim, {"kind": "PersistentVolumeClaim", "metadata": {"labels": _labels(namespace)}, "spec": {}})
    namespace.declare(_larger("30Gi"))
    desired = namespace.once()
    assert [(delete.ref.kind, delete.orphan) for delete in desired.deletes] == [("StatefulSet", True)]
    assert namespace.objects[claim]["spec"]["resources"]["requests"]["storage"] == "30Gi"
    namespace.settle()
    template = namespace.objects[ref("StatefulSet", "default-mail")]["spec"]["volumeClaimTemplates"][0]
    assert template["spec"]["resources"]["requests"]["storage"] == "30Gi"

    namespace.declare(_larger("5Gi"))
    namespace.settle()
    assert namespace.ready("MailServer", "default") == ("True", "Serving")
    ready = [c for c in namespace.status("MailServer", "default")["conditions"] if c["type"] == "Ready"]
    assert "cannot shrink" in ready[0]["message"]


def test_a_volume_that_was_kept_grows_and_one_that_was_refused_to_is_asked_again(namespace: Any, declare: Any) -> None:
    """A claim knows its own size: a StatefulSet made anew for it may have another."""
    claim = ref("PersistentVolumeClaim", "data-default-mail-0")

    def asked(size: str) -> tuple[list[str], list[str]]:
        """Sizes the claim is asked for, and what is deleted, while the API server refuses to resize it."""
        namespace.declare(_larger(size))
        for _ in range(3):
            desired = plan(namespace.world())
            for delete in desired.deletes:
                namespace.delete(delete.ref)
            for apply in desired.applies:
                if apply.ref.kind == "StatefulSet":
                    namespace.put(apply.ref, apply.object)
        sizes = [a.object["spec"]["resources"]["requests"]["storage"] for a in desired.applies if a.ref == claim]
        return sizes, [delete.ref.kind for delete in desired.deletes]

    declare(SERVER)
    namespace.put(claim, {"kind": "PersistentVolumeClaim", "metadata": {"labels": _labels(namespace)}, "spec": {}})
    namespace.settle()
    assert namespace.objects[claim]["spec"]["resources"]["requests"]["storage"] == "10Gi"
    declare()
    declare(SERVER)
    assert asked("30Gi") == (["30Gi"], [])
    assert asked("10Gi") == (["10Gi"], [])
    template = namespace.objects[ref("StatefulSet", "default-mail")]["spec"]["volumeClaimTemplates"][0]
    assert template["spec"]["resources"]["requests"]["storage"] == "10Gi"
    namespace.declare(_larger("40Gi"))
    namespace.settle()
    assert namespace.objects[claim]["spec"]["resources"]["requests"]["storage"] == "40Gi"


def test_a_broken_pod_of_a_superseded_revision_is_removed(namespace: Any, declare: Any) -> None:
    declare(SERVER)
    world = namespace.world()
    pods = tuple(
        Pod(f"default-mail-{n}", False, revision=revision, trouble="ImagePullBackOff", uid=str(n))
        for n, revision in enumerate(("old", "new"))
    )
    state = dataclasses.replace(world.workload, update_revision="new")
    desired = plan(dataclasses.replace(world, pods=pods, workload=state))

    assert [delete.ref.name for delete in desired.deletes] == ["default-mail-0"]
    assert any("ImagePullBackOff" in str(patch.status) for patch in desired.statuses)


def test_a_child_that_the_api_server_refuses_is_told(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, ALICE)
    said = 'StatefulSet.apps "default-mail" is invalid: spec.template: quantities must match'
    world = dataclasses.replace(namespace.world(), refused=((ref("StatefulSet", "default-mail"), said),))
    desired = plan(world)

    (told,) = desired.statuses
    rows = {row["type"]: row for row in told.status["conditions"]}
    assert (rows["Ready"]["status"], rows["Ready"]["reason"]) == ("False", "ApplyFailed")
    assert said in rows["Ready"]["message"]
    assert "last good state is served" in rows["Ready"]["message"]
    assert rows["Stalled"]["status"] == "True"
    assert [(event.ref.kind, event.reason) for event in desired.events] == [("MailServer", "ApplyFailed")]


def test_a_refused_generation_is_told(namespace: Any, declare: Any) -> None:
    declare(SERVER)
    namespace.follow = False
    now = namespace.desired.generation
    namespace.pods = (Pod("default-mail-0", True, loaded=now - 1, refused=now, refusal="because"),)
    patch = plan(namespace.world()).statuses[0]

    assert {c["type"]: c["reason"] for c in patch.status["conditions"]}["ConfigSynced"] == "Refused"


def test_dns_is_compared_and_told_record_by_record(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN)
    records = {
        (r["name"], r["type"]): (r["value"],) for r in namespace.status("MailDomain", "example.org")["dnsRecords"]
    }
    assert set(namespace.desired.questions) >= set(records)
    namespace.dns = dict(records)
    namespace.settle()
    assert _conditions(namespace)["DNSReady"] == ("True", "Published")

    namespace.dns = records | {("example.org", "MX"): ("10 old.example.org",)}
    namespace.settle()
    found = _conditions(namespace)
    assert (found["DNSReady"][0], found["MXPublished"][0], found["DKIMPublished"][0]) == ("False", "False", "True")
    message = next(c for c in namespace.status("MailDomain", "example.org")["conditions"] if c["type"] == "DNSReady")
    assert "example.org MX 10 mail.example.org" in message["message"]
    assert namespace.ready("MailDomain", "example.org") == ("True", "Serving")


def test_a_second_server_serves_its_own_domains_only(namespace: Any, declare: Any) -> None:
    other = ("MailServer", "other", {"hostname": "mx.example.net"})
    domain = ("MailDomain", "example.net", {"serverRef": {"name": "other"}})
    declare(SERVER, other, DOMAIN, domain, ALICE, ("Mailbox", "bob", {"address": "bob@example.net"}))
    assert [row.address for row in namespace.snapshot().mailboxes] == ["alice@example.org"]
    kinds = {patch.ref.name for patch in plan(namespace.world("other")).statuses}
    assert "bob" in kinds
    assert "alice" not in kinds


def test_passwords_are_hashed_for_the_server_that_needs_them(namespace: Any, declare: Any) -> None:
    hers = ("Secret", "hers", {"password": "correct horse"})
    other = ("MailServer", "other", {"hostname": "mail.example.net"})
    declare(SERVER, other, DOMAIN, hers, ("Mailbox", "alice", {**ALICE[2], "passwordSecretRef": {"name": "hers"}}))
    for server, wanted in (("default", ["correct horse"]), ("other", []), ("absent", [])):
        world = dataclasses.replace(namespace.world(server), previous=None, verifiers={})
        assert [password.text for password in unhashed(world)] == wanted, server


def test_secrets_that_are_looked_at_are_named(namespace: Any, declare: Any) -> None:
    box = ("Mailbox", "bob", {"address": "bob@example.org", "passwordSecretRef": {"name": "login"}})
    declare(SERVER, DOMAIN, ALICE, box)
    world: World = namespace.world()
    names = wanted_secrets(world)

    assert {"login", "alice-password", "default-ca", "default-tls", "example.org-rsa1-dkim"} <= names
    assert ref("StatefulSet", "default-mail") in known_names(world)


def _conditions(namespace: Any) -> dict[str, tuple[str, str]]:
    rows = namespace.status("MailDomain", "example.org")["conditions"]
    return {row["type"]: (row["status"], row["reason"]) for row in rows}


def _labels(namespace: Any) -> dict[str, str]:
    return dict(namespace.objects[ref("StatefulSet", "default-mail")]["metadata"]["labels"])


def _larger(size: str) -> str:
    spec = f"{{hostname: mail.example.org, storage: {{size: {size}}}}}"
    return f"{{kind: MailServer, metadata: {{name: default}}, spec: {spec}}}"
