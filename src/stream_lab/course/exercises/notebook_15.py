"""The checkers of notebook 15: a player, and a bounded one."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from stream_lab.course.exercise import Wrong, exercise

TryPlayer = Callable[..., Mapping[str, Any]]
LIMIT = 110.0
"""Seconds that the judge may take: servers start, and a player's warm-up call may hang."""

UNPLAYED = {
    "is not callable": "`prepare` returns a function that asks when it is called, and not the "
    "answer: put the call into `lambda: …` or a `def`.",
    "positional argument": "The function that asks takes no arguments, and `prepare` takes a cell.",
    "no warm-up ended": "The call does not end when the model does: even a short answer hung.",
    "Connection": "It did not reach the server: the address is `cell.base_url`.",
    "refused": "It did not reach the server: the address is `cell.base_url`.",
    "404": "The server does not know the path: `cell.base_url` already ends in /v1.",
    "Not Found": "The server does not know the path: `cell.base_url` already ends in /v1.",
}


@exercise(
    "15.1",
    hints=(
        "Two functions: the outer one makes a client, the inner one sends the request and yields.",
        "With `urllib.request.urlopen(request, timeout=…)` as `answer`: `yield from answer`.",
    ),
    idea="The inner function is a generator: it sends {'model', 'messages', 'stream': True} to "
    "/chat/completions, and yields the lines of the answer as they arrive.",
    limit=LIMIT,
)
async def a_player(prepare: object, try_player: TryPlayer) -> None:
    """Accept a player that streams, asks once, and has T as its time-out.

    Args:
        prepare: the player.
        try_player: plays it and judges each cell.
    """
    found = await _tried(prepare, try_player, ["endless", "stall"])
    stall = found["stall"]
    _asks_once(found)
    if not found["endless"].outcome.chunks:
        raise Wrong(
            "No piece of the endless answer arrived: ask with `stream: True`, and return an "
            "iterator of what arrives (an asynchronous one if `prepare` is `async def`)."
        )
    match str(stall.verdict.mark):
        case "holds":
            return
        case "running":
            raise Wrong("In the stall it waits for ever: T has not reached your client.")
        case "early":
            raise Wrong(f"In the stall it ends before T: {stall.verdict.words}.")
        case "late":
            raise Wrong(f"In the stall it ends after {stall.verdict.words}: is T its time-out?")
        case "busy":
            raise Wrong("In the stall the call ends, and its connection stays open: close it.")
        case _:
            raise Wrong(f"In the stall: {stall.verdict.words}.")


@exercise(
    "15.2",
    hints=(
        "One line changes: the client is bounded before it is used.",
        "`bounded_client(client, seconds)` returns the client to use.",
    ),
    idea="The bound belongs to the client and not to the loop around it, so that it acts while the "
    "consumer does something else.",
    limit=LIMIT,
)
async def a_bounded_player(prepare: object, try_player: TryPlayer) -> None:
    """Accept a player whose cells hold, each with an error.

    Args:
        prepare: the player.
        try_player: plays it and judges each cell.
    """
    found = await _tried(prepare, try_player, ["endless", "keep-alive", "suspended"])
    _asks_once(found)
    endless, comments, suspended = (
        found[name].verdict for name in ("endless", "keep-alive", "suspended")
    )
    for name, verdict in [("endless", endless), ("keep-alive", comments), ("suspended", suspended)]:
        if str(verdict.mark) == "early":
            raise Wrong(f"{name}: it ends too early or shows nothing: {verdict.words}.")
    if str(endless.mark) in ("running", "late"):
        raise Wrong(
            "The endless model still babbles on after T. `timeout=` bounds each read; bound the "
            "whole answer, and give the bound its seconds."
        )
    if str(comments.mark) in ("running", "late"):
        raise Wrong(
            "With comment lines the call does not end: a clock that is read at each chunk stands "
            "still while no chunk comes."
        )
    if any(not each.holds for each in (endless, comments)):
        raise Wrong("The call ends on time, and its connection stays open: the server works on.")
    if not suspended.holds:
        raise Wrong(
            "While the consumer does not pull, the server works on: your bound acts only when the "
            "next chunk is asked for."
        )
    if any(each.silent for each in (endless, comments, suspended)):
        raise Wrong("It ends without an error, so half an answer looks like a whole one.")


async def _tried(prepare: object, try_player: TryPlayer, scenarios: list[str]) -> Mapping[str, Any]:
    """Return the judged cells of a player that could be played.

    Raises:
        NotImplementedError: it is still a skeleton.
        Wrong: it cannot be played.
    """
    if not callable(prepare):
        raise Wrong("The answer is a function that takes a cell: def prepare(cell): …")
    found = await asyncio.to_thread(try_player, prepare, scenarios)
    for each in found.values():
        if words := each.outcome.unplayed:
            said = next((text for sign, text in UNPLAYED.items() if sign in words), "")
            raise Wrong(f"The judge cannot play it. {said or words}")
    return found


def _asks_once(found: Mapping[str, Any]) -> None:
    numbers = {each.outcome.requests for each in found.values()}
    if 0 in numbers:
        raise Wrong("A call sends no request to the cell's own server, `cell.base_url`.")
    if max(numbers) > 1:
        raise Wrong(
            f"One call starts {max(numbers)} generations: switch retries off (max_retries=0)."
        )
