"""From World to Desired, purely: what should exist, what every status should say. Never talks to anything."""

from __future__ import annotations

from postrider_operator.plan import (
    certificates,
    claims,
    dkim,
    names,
    network,
    publish,
    readiness,
    rows,
    secrets,
    server_status,
    snapshot,
    status,
    storage,
    workload,
)
from postrider_operator.plan.desired import Desired
from postrider_operator.plan.findings import Findings
from postrider_operator.plan.mine import Mine, mine, ref
from postrider_operator.world import Ref, World


def plan(world: World) -> Desired:
    """What one MailServer needs, and what is to be said of its objects."""
    findings = Findings()
    own = mine(world, findings)
    server = world.server
    if server is None or server.deleting:
        return _without_server(world, own, findings)
    remembered = claims.memory(world.previous)
    settled = claims.settle(rows.claimants(own), remembered, world.now)
    keys = dkim.plan_keys(world, own, settled, findings)
    generates, applies = secrets.generate(world, own, settled, findings)
    issued = certificates.plan_certificates(world, findings)
    stored = storage.plan_storage(world, findings)
    parts = snapshot.Parts(remembered, settled, keys, issued.rows, secrets.relay(world, findings), stored)
    published = snapshot.build(world, own, parts, findings)
    objects = publish.objects(world, server, published.snapshot, findings) if published.snapshot else publish.Objects()
    pods, unwanted = ([], []) if world.local else workload.workload(world, server, findings)
    ways_in = [] if world.local else network.network(world, server, findings)
    for at, said in world.refused:
        findings.add(ref(server), server_status.refused(at, said))
    told = status.statuses(world, own, published.snapshot, findings)
    server_status.put(world, server, published, issued, (findings, told))
    return Desired(
        generation=published.snapshot.generation if published.snapshot else 0,
        generates=(*issued.generates, *keys.generates, *generates),
        applies=(*issued.applies, *keys.applies, *applies, *ways_in, *pods, *objects.applies),
        deletes=(*keys.deletes, *objects.deletes, *unwanted, *workload.broken(world)),
        statuses=tuple(told.patches),
        events=tuple(told.events),
        again=issued.again,
        questions=tuple(dict.fromkeys(told.questions)),
        files=objects.files,
    )


def wanted_secrets(world: World) -> frozenset[str]:
    """Names of all Secrets whose content the plan looks at; `World.secrets` has those that exist."""
    own = certificates.wanted(world) | dkim.wanted(world)
    return frozenset(own) | frozenset(secrets.wanted(world)) | frozenset(storage.wanted(world))


def known_names(world: World) -> frozenset[Ref]:
    """Objects whose metadata the plan looks at, labelled by us or not; `World.children` has those that exist."""
    given = (Ref("Secret", world.namespace, name) for name in wanted_secrets(world))
    return frozenset(names.fixed(world)) | frozenset(given)


def _without_server(world: World, own: Mine, findings: Findings) -> Desired:
    """No MailServer, or one that is going: nothing is made; everything says what it waits for."""
    lacking = readiness.no_server(world.name)
    for _, resource in (*own.domains, *own.mailboxes, *own.aliases, *own.keys):
        findings.add(ref(resource), lacking)
    told = status.statuses(world, own, None, findings)
    return Desired(statuses=tuple(told.patches), events=tuple(told.events))
