"""Who has an address: the first to have claimed it, whatever is deleted, restored or applied in whatever order."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

SERVER = ("MailServer", "default", {"hostname": "mail.example.org"})
DOMAIN = ("MailDomain", "example.org", None)
FIRST = ("Mailbox", "zoe", {"address": "info@example.org"})
SECOND = ("Alias", "info", {"address": "Info@Example.org", "targets": ["else@where.example"]})


def test_the_first_claim_serves_and_the_other_says_conflict(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, FIRST)
    namespace.now += 5
    declare(SERVER, DOMAIN, FIRST, SECOND)

    assert namespace.ready("Mailbox", "zoe") == ("True", "Serving")
    assert namespace.ready("Alias", "info") == ("False", "Conflict")
    assert "mailbox/zoe" in namespace.status("Alias", "info")["conditions"][0]["message"]


def test_of_objects_that_come_together_the_older_serves(namespace: Any, declare: Any) -> None:
    namespace.declare(_yaml(SERVER, DOMAIN, SECOND))
    namespace.now += 1
    declare(SERVER, DOMAIN, SECOND, FIRST)

    assert namespace.ready("Alias", "info") == ("True", "Serving")
    assert namespace.ready("Mailbox", "zoe") == ("False", "Conflict")


@pytest.mark.parametrize("order", [(FIRST, SECOND), (SECOND, FIRST)])
def test_everything_deleted_and_applied_again_has_the_same_winner(namespace: Any, declare: Any, order: Any) -> None:
    declare(SERVER, DOMAIN, FIRST)
    namespace.now += 5
    declare(SERVER, DOMAIN, FIRST, SECOND)
    for rows in ((SERVER, DOMAIN, SECOND), (SERVER, DOMAIN), (SERVER,), ()):
        namespace.now += 5
        declare(*rows)
    for count in range(3):
        namespace.now += 5
        declare(SERVER, DOMAIN, *order[:count])

    assert namespace.ready("Mailbox", "zoe") == ("True", "Serving")
    assert namespace.ready("Alias", "info") == ("False", "Conflict")


def test_the_loser_takes_over_when_the_winner_is_deleted(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, FIRST)
    namespace.now += 5
    declare(SERVER, DOMAIN, FIRST, SECOND)
    declare(SERVER, DOMAIN, SECOND)

    assert namespace.ready("Alias", "info") == ("True", "Serving")
    assert [row.resource for row in namespace.snapshot().aliases] == ["info"]


def test_a_claim_lapses_when_another_has_had_the_address_for_long(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, FIRST)
    namespace.now += 5
    declare(SERVER, DOMAIN, FIRST, SECOND)
    declare(SERVER, DOMAIN, SECOND)
    namespace.now += 2 * 3600
    declare(SERVER, DOMAIN, SECOND, FIRST)

    assert namespace.ready("Alias", "info") == ("True", "Serving")
    assert namespace.ready("Mailbox", "zoe") == ("False", "Conflict")


def test_claims_of_what_is_gone_are_forgotten_in_the_end(namespace: Any, declare: Any) -> None:
    declare(SERVER, DOMAIN, FIRST)
    declare(SERVER, DOMAIN)
    assert [claim.resource for claim in namespace.snapshot().claims] == ["zoe"]
    namespace.now += 91 * 24 * 3600
    declare(SERVER, DOMAIN)

    assert namespace.snapshot().claims == ()


def test_a_domain_is_claimed_too(namespace: Any, declare: Any) -> None:
    other = ("MailDomain", "a-second", {"domain": "EXAMPLE.org"})
    declare(SERVER, DOMAIN)
    namespace.now += 5
    declare(SERVER, DOMAIN, other, FIRST)

    assert namespace.ready("MailDomain", "example.org") == ("True", "Serving")
    assert namespace.ready("MailDomain", "a-second") == ("False", "Conflict")
    assert namespace.ready("Mailbox", "zoe") == ("True", "Serving")


def test_mail_goes_with_its_mailbox_only_where_that_was_asked_for(namespace: Any, declare: Any) -> None:
    going = ("Mailbox", "zoe", {"address": "info@example.org", "deletionPolicy": "Delete"})
    declare(SERVER, DOMAIN, going)
    declare(SERVER, DOMAIN)
    assert [(claim.key, claim.release) for claim in namespace.snapshot().claims] == [("info@example.org", True)]

    heir = ("Mailbox", "heir", {"address": "info@example.org"})
    declare(SERVER, DOMAIN, heir)
    declare(SERVER, DOMAIN)
    assert not any(claim.release for claim in namespace.snapshot().claims)


def _yaml(*rows: Any) -> str:
    return yaml.safe_dump_all({"kind": k, "metadata": {"name": n}, **({"spec": s} if s else {})} for k, n, s in rows)
