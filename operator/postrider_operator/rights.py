"""What the operator must be allowed to do, as a table, and the question to the API server whether it is."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from postrider_operator.client import ApiError, Client, Unreachable, decode
from postrider_operator.kinds import GROUP

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Right:
    """Verbs on a resource; `why` is what fails without them."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str


READ = ("get", "list", "watch")
#: A server-side apply is a patch, and a create where there is nothing yet.
APPLY = ("create", "patch")

#: Rights in every namespace that is served; the chart grants just these.
RIGHTS: tuple[Right, ...] = (
    Right(GROUP, "mailservers", READ, "see MailServers"),
    Right(GROUP, "maildomains", READ, "see MailDomains"),
    Right(GROUP, "mailboxes", READ, "see Mailboxes"),
    Right(GROUP, "aliases", READ, "see Aliases"),
    Right(GROUP, "dkimkeys", (*READ, "create", "delete"), "see DkimKeys, generate them, remove them for your own"),
    *(
        Right(GROUP, f"{kind}/status", ("patch",), "say what became of an object")
        for kind in ("mailservers", "maildomains", "mailboxes", "aliases", "dkimkeys")
    ),
    *(
        Right(GROUP, f"{kind}/finalizers", ("update",), "own children where the cluster asks for that right")
        for kind in ("mailservers", "maildomains", "mailboxes", "dkimkeys")
    ),
    Right("", "configmaps", (*READ, *APPLY, "delete"), "publish the configuration"),
    Right("", "secrets", ("get", *APPLY, "update", "delete"), "publish keys and the directory, generate passwords"),
    Right("", "services", (*READ, *APPLY), "make the servers reachable"),
    Right("", "persistentvolumeclaims", (*READ, "patch"), "grow volumes"),
    Right("", "pods", (*READ, "patch", "delete"), "bring new configuration to pods, remove broken ones"),
    Right("apps", "statefulsets", (*READ, *APPLY, "delete"), "run servers"),
    Right("policy", "poddisruptionbudgets", (*READ, *APPLY), "keep drains orderly"),
    Right("networking.k8s.io", "networkpolicies", (*READ, *APPLY), "close the servers to strangers"),
    Right("events.k8s.io", "events", ("create", "patch"), "write Events"),
)
#: Besides, with `--secrets watch`.
WATCH_SECRETS = Right("", "secrets", ("list", "watch"), "see changed Secrets at once")


async def missing(client: Client, namespaces: Sequence[str], *, watch_secrets: bool) -> list[str]:
    """The rights we lack, a line each; none are known to be lacking where the API server does not say."""
    wanted = (*RIGHTS, WATCH_SECRETS) if watch_secrets else RIGHTS
    lines: list[str] = []
    for namespace in namespaces or ("default",):
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        try:
            answer = decode(await client.create("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body))
        except (ApiError, Unreachable) as error:
            log.warning("rights not known", extra={"error": str(error)})
            continue
        status = answer.get("status", {})
        if not status.get("incomplete"):
            place = namespace if namespaces else "all namespaces"
            lines += [f"{line} in {place}" for line in lacking(wanted, status.get("resourceRules") or ())]
    return lines


def lacking(wanted: Iterable[Right], rules: Iterable[Mapping[str, Any]]) -> list[str]:
    """Of the wanted rights, what no rule grants."""
    rows = [rule for rule in rules if not rule.get("resourceNames")]
    return [
        f"{verb} {right.resource}{f'.{right.group}' if right.group else ''} (to {right.why})"
        for right in wanted
        for verb in right.verbs
        if not any(_grants(rule, right, verb) for rule in rows)
    ]


def _grants(rule: Mapping[str, Any], right: Right, verb: str) -> bool:
    asked = (("apiGroups", right.group), ("resources", right.resource), ("verbs", verb))
    return all({"*", value} & set(rule.get(field) or ()) for field, value in asked)
