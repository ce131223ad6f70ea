"""The custom resources as typed models; the CRDs are generated from them, and nothing else says what a field means."""

from postrider_operator.kinds.alias import Alias
from postrider_operator.kinds.dkimkey import DkimKey
from postrider_operator.kinds.mailbox import Mailbox
from postrider_operator.kinds.maildomain import MailDomain
from postrider_operator.kinds.mailserver import MailServer
from postrider_operator.kinds.resource import GROUP, VERSION, KindInfo, Resource

#: Every kind of the group, in the order people meet them.
KINDS: tuple[type[Resource], ...] = (MailServer, MailDomain, Mailbox, Alias, DkimKey)

BY_NAME: dict[str, type[Resource]] = {kind.INFO.kind: kind for kind in KINDS}

__all__ = [
    "BY_NAME",
    "GROUP",
    "KINDS",
    "VERSION",
    "Alias",
    "DkimKey",
    "KindInfo",
    "MailDomain",
    "MailServer",
    "Mailbox",
    "Resource",
]
