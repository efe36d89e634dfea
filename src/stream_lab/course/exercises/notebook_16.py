"""The exercises of notebook 16: seven tickets, and the service as a whole."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from stream_lab.course.capstone import tickets
from stream_lab.course.capstone.folder import Repair
from stream_lab.course.capstone.running import Running
from stream_lab.course.capstone.symptoms import doctor
from stream_lab.course.exercise import Wrong, exercise

Check = Callable[[Running], None]
LIMIT = 55.0
"""Seconds that a check may take; it starts three processes, and asks for several answers."""
SHORT = 3  # words; a shorter note names no cause


async def _examine(answer: object, check: Check) -> None:
    """Run the service with the reader's files, and check one ticket."""
    if not isinstance(answer, Repair):
        raise Wrong("The answer is service.repaired(note).")
    if len(answer.note.split()) < SHORT:
        raise Wrong("The note is a sentence in quotes: say what was wrong.")
    await asyncio.to_thread(_with_service, answer, [check])


def _with_service(answer: Repair, checks: list[Check]) -> None:
    with Running(answer.files) as running:
        for check in checks:
            check(running)


@exercise(
    "16.1",
    hints=(
        "Between the model and the page are three places that could collect tokens. Ask the relay "
        "past nginx first, as the doctor does.",
        "Look for code in relay.py that reads a whole body, and in nginx.conf for what needs "
        "many bytes before it gives any out.",
    ),
    idea="a middleware that joins a body cannot stream, and gzip collects while nginx buffers; "
    "a setting holds only for the block that it is in, and for the blocks inside.",
    limit=LIMIT,
)
async def everything_at_once(answer: object) -> None:
    """Check ticket 1."""
    await _examine(answer, tickets.at_once)


@exercise(
    "16.2",
    hints=(
        "Two time-outs count the seconds in which nothing comes: one is in nginx.conf, the other "
        "belongs to the office, and you cannot change it.",
        "What can a relay send to a page that means nothing, while the model thinks?",
    ),
    idea="every silence on the way must be shorter than the shortest limit on silence: a longer "
    "proxy_read_timeout for /answer, and a comment line of SSE each second for /chat.",
    limit=LIMIT,
)
async def long_questions(answer: object) -> None:
    """Check ticket 2."""
    await _examine(answer, tickets.long_questions)


@exercise(
    "16.3",
    hints=(
        "Two questions: who stops the model when a user leaves, and who stops it when the user "
        "stays? Each of /chat and /answer needs both.",
        "Which task entered the scope, and which one waits when it fires? Which task pulls the "
        "tokens, and who cancels that task?",
    ),
    idea="the call keeps its own deadline (ChatVllm), and a middleware outside of all others ends "
    "the calls of a request whose client has left (DeadlineMiddleware).",
    limit=LIMIT,
)
async def at_night(answer: object) -> None:
    """Check ticket 3."""
    await _examine(answer, tickets.at_night)


@exercise(
    "16.4",
    hints=(
        "All answers of a process share one event loop. What holds it while a title is made?",
        "More workers make it rarer, and not better.",
    ),
    idea="await what waits (ainvoke), or let FastAPI run the handler in a thread (def).",
    limit=LIMIT,
)
async def titles(answer: object) -> None:
    """Check ticket 4."""
    await _examine(answer, tickets.titles)


@exercise(
    "16.5",
    hints=(
        "The relay's log has the error. Follow it from there to the page.",
        "`done` must be sent only if the stream of the model ended by itself.",
    ),
    idea="let the error come out of the generator, or pass it on and send an event `error`; never "
    "let one way of ending look like another.",
    limit=LIMIT,
)
async def broken_answers(answer: object) -> None:
    """Check ticket 5."""
    await _examine(answer, tickets.broken_answers)


@exercise(
    "16.6",
    hints=(
        "Compare the number of bytes that the head promises with the number that the body has.",
        "Whose headers are these?",
    ),
    idea="headers describe the message that they came with. A new body needs its own.",
    limit=LIMIT,
)
async def model_list(answer: object) -> None:
    """Check ticket 6."""
    await _examine(answer, tickets.model_list)


@exercise(
    "16.7",
    hints=(
        "How long may an answer take, and how long does uvicorn wait for it?",
        "Two parts end streams at a shutdown: uvicorn, and sse-starlette if you use it.",
    ),
    idea="the time for a graceful shutdown follows from the longest answer; EventSourceResponse "
    "has shutdown_event and shutdown_grace_period.",
    limit=LIMIT,
)
async def deployment(answer: object) -> None:
    """Check ticket 7."""
    await _examine(answer, tickets.deployment)


@exercise(
    "16.8",
    hints=(
        "The message names the ticket, or what no ticket said. Repair that, and run it again.",
        "A repair for one ticket can open another one again: check that ticket alone.",
    ),
    idea="each request needs all of it: a bound on the whole, an end when its user leaves, a true "
    "last word, and a way on which nothing collects or gives up too soon.",
    limit=LIMIT,
)
async def everything(answer: object) -> None:
    """Check all tickets, what no ticket is about, and the doctor's opinion."""
    if not isinstance(answer, Repair):
        raise Wrong("The answer is service.repaired(note).")
    groups: list[list[Check]] = [
        [_named(1, tickets.at_once), _named(5, tickets.broken_answers),
         _named(6, tickets.model_list), _healthy],
        [_named(3, tickets.at_night), tickets.untold],
        [_named(4, tickets.titles), _named(2, tickets.long_questions),
         _named(7, tickets.deployment)],
    ]  # fmt: skip
    await asyncio.to_thread(_with_services, answer, groups)


def _with_services(answer: Repair, groups: list[list[Check]]) -> None:
    """Run each group of checks with a service of its own, side by side."""
    with ThreadPoolExecutor(len(groups)) as pool:
        for each in [pool.submit(_with_service, answer, group) for group in groups]:
            each.result()


def _named(number: int, check: Check) -> Check:
    def run(running: Running) -> None:
        try:
            check(running)
        except Wrong as wrong:
            raise Wrong(f"Ticket {number} is open again. {wrong}") from None

    return run


def _healthy(running: Running) -> None:
    found = doctor(running, model=True)
    if found["cause"] != "healthy":
        evidence = " ".join(found["evidence"])
        raise Wrong(f"The doctor says {found['cause'] or 'nothing'}. {evidence}")
