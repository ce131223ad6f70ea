"""What is wrong with a file is told with file, line and field; the CRDs' own rules decide, CEL included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from postrider_operator.local import documents, validate
from postrider_operator.local.documents import Malformed

API = "postrider.dev/v1alpha1"


def said(kind: str, spec: Any, before: Any = None, name: str = "m") -> str:
    """What is said of an object, given its spec now and before."""
    rows = [{"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": part} for part in (spec, before)]
    now, last = (documents.read(Path("x.yaml"), yaml.safe_dump(row, sort_keys=False))[0] for row in rows)
    return "; ".join(str(problem) for problem in validate.problems(now, last if before is not None else None))


KEY = {"id": "2026a", "keySecretRef": {"name": "mail-key"}}
MAILDIR, SECRET = {"blobs": "maildir"}, {"encryption": {"keys": [KEY]}}

GOOD = [
    ("Mailbox", {"address": "alice@example.org", "quota": "1.5Gi"}),
    ("Mailbox", {"address": "o'neil+x@example.org", "quota": 5000000}),
    ("Mailbox", {"address": '"quoted one"@example.org'}),
    ("Mailbox", {"address": "jürgen@bücher.example"}),
    ("Alias", {"address": "*@example.org", "targets": ["a@b.example", "c@d.example"]}),
    ("MailDomain", {}),
    ("MailDomain", {"domain": "bücher.example", "serverRef": {"name": "other"}, "subaddressSeparator": "-"}),
    ("DkimKey", {"domain": "example.org", "selector": "s1.mail", "algorithm": "Ed25519"}),
    ("MailServer", {"hostname": "mail.example.org", "queue": {"lifetime": "2d12h"}, "storage": {"size": "10Gi"}}),
    (
        "Mailbox",
        {"address": "a@b.example", "quota": 0, "quotaWarnings": [50, 100], "undelete": "0d", "legalHold": True},
    ),
    ("MailDomain", {"quota": "1Ti", "mailboxes": {"quota": "5Gi", "whenFull": "Reject", "undelete": "36h"}}),
    ("MailServer", {"hostname": "m.example", "mailboxes": {"retention": {"trash": "30d", "junk": "9999d"}}}),
    ("MailServer", {"hostname": "m.example", "storage": MAILDIR}),
    ("MailServer", {"hostname": "m.example", "storage": {"blobs": "packs", **SECRET}}),
    (
        "MailServer",
        {"hostname": "m.example", "relay": {"host": "r.example"}, "pod": {"affinity": {"any": {"thing": 1}}}},
    ),
]


@pytest.mark.parametrize(("kind", "spec"), GOOD)
def test_good_objects(kind: str, spec: Any) -> None:
    assert said(kind, spec) == ""


BAD = [
    ("Mailbox", {}, "spec.address: is required"),
    ("Mailbox", {"address": 5}, "spec.address: must be text, not 5"),
    ("Mailbox", {"address": "alice"}, "an address is local@domain"),
    ("Mailbox", {"address": "al ice@example.org"}, "not a local part"),
    ("Mailbox", {"address": ".a@example.org"}, "not a local part"),
    ("Mailbox", {"address": "a..b@example.org"}, "not a local part"),
    ("Mailbox", {"address": "a@b@example.org"}, "not a local part"),
    ("Mailbox", {"address": "a@exa_mple.org"}, "not a domain name"),
    ("Mailbox", {"address": "a@example..org"}, "not a domain name"),
    ("Mailbox", {"address": "a@example.org."}, "not a domain name"),
    ("Mailbox", {"address": "a" * 65 + "@example.org"}, "at most 64"),
    ("Mailbox", {"address": "*@example.org"}, "only an Alias"),
    ("Mailbox", {"address": "a@b.example", "quota": "5X"}, "spec.quota: not a size"),
    ("Mailbox", {"address": "a@b.example", "quota": -1}, "spec.quota: not a size"),
    ("Mailbox", {"address": "a@b.example", "quota": "9999P"}, "spec.quota: not a size"),
    ("Mailbox", {"address": "a@b.example", "quota": 2**60}, "spec.quota: not a size"),
    ("Mailbox", {"address": "a@b.example", "quota": ["1"]}, "spec.quota: must be text or a whole number"),
    ("Mailbox", {"address": "a@b.example", "adress": "x"}, "spec.adress: unknown field; did you mean address?"),
    ("Mailbox", {"address": "a@b.example", "deletionPolicy": "Keep"}, "must be Retain or Delete"),
    (
        "Mailbox",
        {"address": "a@b.example", "passwordSecretRef": {"key": "x"}},
        "spec.passwordSecretRef.name: is required",
    ),
    ("Alias", {"address": "a@b.example", "targets": []}, "spec.targets"),
    ("Alias", {"address": "a@b.example", "targets": ["a@b.example", "nobody"]}, "spec.targets[1]: an address is"),
    ("Mailbox", {"address": "a@b.example", "whenFull": "reject"}, "spec.whenFull: must be Defer or Reject"),
    ("Mailbox", {"address": "a@b.example", "quotaWarnings": [101]}, "spec.quotaWarnings[0]"),
    ("Mailbox", {"address": "a@b.example", "undelete": "7"}, "spec.undelete: a number with d, h, m or s"),
    (
        "Mailbox",
        {"address": "a@b.example", "undelete": 3},
        "spec.undelete: must be text, not 3: a number with d, h, m or s",
    ),
    (
        "Mailbox",
        {"address": "a@b.example", "retention": {"trash": "1m"}},
        "spec.retention.trash: mail is removed after",
    ),
    ("Mailbox", {"address": "a@b.example", "retention": {"inbox": "1d"}}, "spec.retention.inbox: unknown field"),
    ("MailDomain", {"mailboxes": {"retention": {"junk": "30"}}}, "spec.mailboxes.retention.junk: mail is removed"),
    ("MailServer", {"hostname": "m.example", "storage": {"encryption": {"keys": []}}}, "spec.storage.encryption.keys"),
    ("MailServer", {"hostname": "m.example", "storage": {"encryption": {"keys": [KEY, KEY]}}}, "the same id"),
    ("MailServer", {"hostname": "m.example", "storage": {"blobs": "files"}}, "must be packs or maildir"),
    ("MailServer", {"hostname": "m.example", "storage": {**MAILDIR, **SECRET}}, "cannot be encrypted"),
    ("MailDomain", {"domain": "bad_domain"}, "not a domain name"),
    ("MailDomain", {"subaddressSeparator": "x"}, "the separator is one of"),
    ("DkimKey", {"domain": "example.org", "selector": "s_1"}, "spec.selector: not a selector"),
    ("MailServer", {"hostname": "192.0.2.1"}, "spec.hostname: an IP address is no name"),
    ("MailServer", {"hostname": "mail.example.org", "replicas": 2}, "replicas is 0 or 1"),
    ("MailServer", {"hostname": "mail.example.org", "queue": {"lifetime": "5x"}}, "not a duration"),
    (
        "MailServer",
        {"hostname": "m.example", "queue": {"lifetime": "99999999d"}},
        "spec.queue.lifetime: not a duration",
    ),
    ("MailServer", {"hostname": "m.example", "queue": {"firstRetry": "0m0s"}}, "spec.queue.firstRetry: it must be"),
    (
        "MailServer",
        {"hostname": "m.example", "limits": {"messageSize": "0.0Mi"}},
        "spec.limits.messageSize: it must be",
    ),
    ("MailServer", {"hostname": "m.example", "storage": {"size": 0}}, "spec.storage.size: it must be"),
    (
        "MailServer",
        {"hostname": "m.example", "relay": {"host": "r.example", "username": "u"}},
        "needs a passwordSecretRef",
    ),
]


@pytest.mark.parametrize(("kind", "spec", "message"), BAD)
def test_bad_objects(kind: str, spec: Any, message: str) -> None:
    assert message in said(kind, spec)


CHANGED = [
    ("Mailbox", {"address": "a@b.example"}, {"address": "c@b.example"}, "the address cannot be changed"),
    ("MailDomain", {}, {"domain": "other.example"}, "cannot be changed"),
    ("MailDomain", {"domain": "other.example"}, {}, "cannot be changed"),
    ("DkimKey", {"domain": "a.b", "selector": "s"}, {"domain": "a.b", "selector": "t"}, "cannot be changed"),
    (
        "DkimKey",
        {"domain": "a.b", "selector": "s"},
        {"domain": "a.b", "selector": "s", "algorithm": "Ed25519"},
        "spec.algorithm: the algorithm cannot be changed",
    ),
    ("MailServer", {"hostname": "m.example"}, {"hostname": "m.example", "storage": MAILDIR}, "blobs: what bodies are"),
    ("MailServer", {"hostname": "m.example"}, {"hostname": "m.example", "storage": SECRET}, "cannot be switched off"),
]


@pytest.mark.parametrize(("kind", "now", "before", "message"), CHANGED)
def test_what_cannot_be_changed(kind: str, now: Any, before: Any, message: str) -> None:
    assert message in said(kind, now, before)


def test_an_effective_value_may_be_written_in_another_way() -> None:
    plain, packs = {"hostname": "m.example"}, {"hostname": "m.example", "storage": {"blobs": "packs"}}
    assert said("MailServer", plain, packs) == said("MailServer", packs, plain) == ""
    assert said("MailDomain", {"domain": "one.example"}, {}, name="one.example") == ""
    spec = {"domain": "a.b", "selector": "s"}
    assert said("DkimKey", spec | {"algorithm": "RSA"}, spec) == ""


def test_a_problem_has_file_line_and_field() -> None:
    text = f"""\
apiVersion: {API}
kind: Mailbox
metadata:
  name: alice
spec:
  address: alice@example.org
  quota: 5 apples
"""
    (document,) = documents.read(Path("boxes.yaml"), text)
    (problem,) = validate.problems(document, None)
    assert str(problem).startswith("boxes.yaml:7: mailbox/alice: spec.quota: not a size")


def test_the_frame_of_an_object_is_checked() -> None:
    (document,) = documents.read(Path("x.yaml"), "kind: Mailbox\nmetadata: {name: Alice}\nspec: {}\n")
    found = [str(problem) for problem in validate.problems(document, None)]
    assert "apiVersion: must be postrider.dev/v1alpha1" in found[0]
    assert "'Alice' is not a name" in found[1]


def test_numbers_in_a_secret_need_quotes() -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: 12345}\n"
    (problem,) = validate.problems(documents.read(Path("x.yaml"), text)[0], None)
    assert "stringData.password: must be text" in str(problem)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("kind: Mailbox\n  bad: [", 2, "not YAML"),
        ("a: 1\nb: 2\na: 3\n", 3, "the field a is there twice"),
        ("- a\n- b\n", 1, "an object is a mapping"),
        ("a: \x01\n", 1, "not YAML"),
    ],
)
def test_files_that_cannot_be_read(text: str, line: int, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        documents.read(Path("x.yaml"), text)
    assert caught.value.problem.line == line
    assert message in caught.value.problem.message


def test_lists_and_dates() -> None:
    text = "kind: List\nitems:\n- kind: A\n  metadata:\n    name: 2026-11-21\n- kind: B\n"
    first, second = documents.read(Path("x.yaml"), text)
    assert (first.kind, first.name, first.line(("metadata", "name"))) == ("A", "2026-11-21", 5)
    assert (second.kind, second.line(())) == ("B", 6)
