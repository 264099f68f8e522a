"""Cutting the connection at every message boundary does not change what any client reports."""

import pytest

from tests.clients.conformance.conductor import Client, Conductor
from tests.clients.conformance.scenario import parse
from tests.clients.cut import Cut, CutLine
from tests.clients.scripted import ScriptedServer

SAID, HEARD = 8, 21  # messages of a connection that is not cut
[SCENARIO] = parse("""
# two contexts
client connect
a start {format: pcm}
b start {format: opus}
a push "one two. "
b feed "three. four"
a push "five "
a flush "all"
a push "six. "
a end
a read
  0 word "one" 0-3, 0-80 ms, estimated
  1 frame at 0 ms: pcm
  2 word "two." 4-8, 80-160 ms, estimated
  3 frame at 80 ms: pcm
  4 segment "one two." 0-8, 0-160 ms
  5 word "five" 9-13, 160-240 ms, estimated
  6 frame at 160 ms: pcm
  7 segment "five" 9-13, 160-240 ms
  8 flushed at 240 ms: all
  9 word "six." 14-18, 240-320 ms, estimated
  10 frame at 240 ms: pcm
  11 segment "six." 14-18, 240-320 ms
  12 done, 320 ms
b read
  0 word "three." 0-6, 0-80 ms, estimated
  1 frame at 0 ms: packet 0
  2 segment "three." 0-6, 0-80 ms
  3 word "four" 7-11, 80-160 ms, estimated
  4 frame at 80 ms: packet 1
  5 segment "four" 7-11, 80-160 ms
  6 done, 160 ms
""")

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("client", ["msgpack", "javascript"], indirect=True, scope="module"),
]


async def play(client: Client, *cuts: Cut) -> int:
    """How many connections it took."""
    async with ScriptedServer() as server:
        line = CutLine(cuts, server.url.removeprefix("ws://"))
        async with line.open() as url:
            await Conductor(server, client, url).play(SCENARIO)
        return line.connections


async def test_the_line_holds(client: Client) -> None:
    assert await play(client) == 1


async def test_behind_every_message_of_the_server(client: Client) -> None:
    for heard_split in range(1, HEARD):
        assert await play(client, Cut(after_heard=heard_split)) == 2, heard_split


async def test_with_every_message_of_the_client(client: Client) -> None:
    for said in range(SAID):
        assert await play(client, Cut(after_said=said)) == 2, said


async def test_again_while_the_session_is_resumed(client: Client) -> None:
    for again in [Cut(after_heard=1), Cut(after_heard=2), Cut(after_heard=3), Cut(after_said=0), Cut(after_said=1)]:
        assert await play(client, Cut(after_said=1), again) == 3, again


async def test_every_message_a_connection(client: Client) -> None:
    """The worst line of all: `ready`, `resumed` and one event, each time."""
    assert await play(client, *[Cut(after_heard=3)] * 12) == 13
