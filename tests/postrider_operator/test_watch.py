"""A list of our own never undoes what the watches have told while it was under way."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from postrider_operator.kinds import Mailbox
from postrider_operator.picture import Picture
from postrider_operator.watch import relist
from postrider_operator.world import Ref


def mailbox(name: str, version: int, uid: str = "") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": uid or f"u-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"address": f"{name}@one.test"}}


def put(picture: Picture, row: dict[str, Any]) -> None:
    picture.put("Mailbox", msgspec.json.encode(row))


def uids(picture: Picture) -> dict[str, str]:
    return {item.metadata.name: item.metadata.uid for item in picture.within("Mailbox", "ns")}


async def test_what_is_gone_goes_and_what_is_new_comes(connect: Any) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"metadata": {"resourceVersion": "9"}, "items": [mailbox("a", 1), mailbox("b", 8)]})

    picture = Picture()
    for name in ("a", "gone"):
        put(picture, mailbox(name, 1))
    await relist(await connect(answer), picture, (), [Mailbox])
    assert uids(picture) == {"a": "u-a", "b": "u-b"}


async def test_what_a_watch_has_told_meanwhile_is_newer_than_the_list(connect: Any) -> None:
    picture = Picture()

    async def answer(request: web.Request) -> web.Response:
        if "continue" not in request.query:
            page = {"metadata": {"resourceVersion": "9", "continue": "more"}, "items": [mailbox("a", 1)]}
            return web.json_response(page)
        # The list is of version 9; at 10 somebody deletes b, at 11 somebody makes again what was not there at 9.
        picture.drop(Ref("Mailbox", "ns", "b"))
        picture.drop(Ref("Mailbox", "ns", "again"))
        put(picture, mailbox("again", 11, "u-second"))
        return web.json_response({"metadata": {"resourceVersion": "9"}, "items": [mailbox("b", 2)]})

    for name in ("a", "b", "again"):
        put(picture, mailbox(name, 1))
    await relist(await connect(answer), picture, (), [Mailbox])
    assert uids(picture) == {"a": "u-a", "again": "u-second"}
