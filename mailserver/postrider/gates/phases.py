"""The table of gates: which are asked in which phase of an SMTP conversation, and how they are asked."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence

from postrider.gates.recipient import has_room, known_recipient
from postrider.gates.sender import own_sender
from postrider.gates.visit import Visit
from postrider.model.reply import Reply


class Phase(enum.Enum):
    """When a gate is asked."""

    CONNECTION = "connection"
    SENDER = "sender"
    RECIPIENT = "recipient"


#: A gate lets pass (None) or says how to refuse. One that has to look something up first gives an awaitable.
Gate = Callable[[Visit], Reply | Awaitable[Reply | None] | None]

#: In the order they are asked; the first refusal counts.
PHASES: Mapping[Phase, Sequence[Gate]] = {
    Phase.CONNECTION: (),
    Phase.SENDER: (own_sender,),
    Phase.RECIPIENT: (known_recipient, has_room),
}


def ask(phase: Phase, visit: Visit) -> Reply | Awaitable[Reply | None] | None:
    """Ask the gates of a phase; an awaitable only where one of them has to wait."""
    gates = PHASES[phase]
    for position, gate in enumerate(gates):
        said = gate(visit)
        if said is None:
            continue
        if isinstance(said, Reply):
            return said
        return _go_on(said, gates[position + 1 :], visit)
    return None


async def _go_on(said: Awaitable[Reply | None], rest: Sequence[Gate], visit: Visit) -> Reply | None:
    reply = await said
    for gate in rest:
        if reply is not None:
            return reply
        answer = gate(visit)
        reply = answer if answer is None or isinstance(answer, Reply) else await answer
    return reply
