"""The table of formats: how each is read, how it is written, and how one tells what lies somewhere."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from postrider.ops.exchange.eml_files import EmlSource, EmlTarget, is_eml
from postrider.ops.exchange.maildir_files import MaildirSource, MaildirTarget
from postrider.ops.exchange.mbox_files import MboxSource, MboxTarget, is_mbox
from postrider.ops.exchange.sources import Complain, NotMail, Source
from postrider.ops.exchange.targets import Target


class Format(enum.StrEnum):
    """What mail can be imported from."""

    MAILDIR = "maildir"
    MBOX = "mbox"  # mboxrd: every ">From " is quoted, and quoting is undone
    MBOXO = "mboxo"  # nothing is undone
    EML = "eml"


@dataclass(frozen=True, slots=True)
class Choice:
    """What may be chosen about an export."""

    #: Maildir: folders as a tree of directories, not beside each other (Maildir++).
    tree: bool = False
    #: Maildir and mbox: line ends as in mail, not as in files.
    crlf: bool = False


SOURCES: Mapping[Format, Callable[[Path, Complain], Source]] = {
    Format.MAILDIR: MaildirSource,
    Format.MBOX: MboxSource,
    Format.MBOXO: functools.partial(MboxSource, undo=False),
    Format.EML: EmlSource,
}
TARGETS: Mapping[Format, Callable[[Path, Choice], Target]] = {
    Format.MAILDIR: lambda root, choice: MaildirTarget(root, tree=choice.tree, crlf=choice.crlf),
    Format.MBOX: lambda root, choice: MboxTarget(root, crlf=choice.crlf),
    Format.EML: lambda root, _: EmlTarget(root),
}


def source(path: Path, complain: Complain, chosen: Format | None = None) -> Source:
    """The mail that lies at `path`, in the format chosen or else the first that fits. Raises NotMail, OSError."""
    if not path.exists():
        raise NotMail(f"{path}: there is no such file or directory")
    if chosen:
        return SOURCES[chosen](path, complain)
    if path.is_file():
        if is_mbox(path):
            return SOURCES[Format.MBOX](path, complain)
        if is_eml(path):
            return SOURCES[Format.EML](path, complain)
        raise NotMail(f"{path} begins neither like an mbox file nor like a message; --format says what it is")
    for format_ in (Format.MAILDIR, Format.EML, Format.MBOX):
        try:
            return SOURCES[format_](path, complain)
        except NotMail:
            continue
    raise NotMail(f"{path} has neither a Maildir nor mbox or .eml files in it; --format says what it is")
