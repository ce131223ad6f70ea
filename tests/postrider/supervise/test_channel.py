"""Words between supervisor and child."""

import asyncio
import socket

from postrider.supervise.channel import Channel, Drain, Load, Loaded, Ready


async def test_words_arrive_in_order_until_the_other_end_is_gone():
    ends = socket.socketpair()
    ours, theirs = [await Channel.open(end) for end in ends]
    for word in (Ready(), Loaded(7), Load(8), Drain(1.5)):
        ours.say(word)
    ours.close()
    assert [word async for word in theirs.words()] == [Ready(), Loaded(7), Load(8), Drain(1.5)]
    theirs.say(Ready())
    theirs.close()


async def test_half_a_word_of_a_dying_process_is_none():
    near, far = socket.socketpair()
    channel = await Channel.open(near)
    far.sendall(b'{"type":"Ready"}\n{"type":"Lo')
    far.close()
    async with asyncio.timeout(30):
        assert [word async for word in channel.words()] == [Ready()]
    channel.close()


async def test_an_end_that_goes_while_we_speak_is_gone():
    near, far = socket.socketpair()
    channel = await Channel.open(near)
    heard = asyncio.create_task(anext(channel.words(), None))
    await asyncio.sleep(0)
    far.close()
    channel.say(Loaded(7))
    assert await heard is None
    channel.close()
