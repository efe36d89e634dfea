"""What is still seen of each ticket while the service runs."""

import time
from functools import partial

from stream_lab.course.capstone.asking import CUT, OPEN, WHOLE, Answer, ask, leaving, together
from stream_lab.course.capstone.running import GAP, LIMIT, LONG, TEXT, THINKS, Running
from stream_lab.course.exercise import Wrong
from stream_lab.experiment.evidence import Unknown
from stream_lab.experiment.release import GOES_ON, watch_release
from stream_lab.processes.gateway import Gateway

PATIENCE = 10.0
"""Seconds after which a page gives up."""
SLACK = 1.5
"""Seconds after a limit that still count as on time, on a busy machine."""
OFFICE = 1.8
"""Seconds of silence after which the balancer of an office closes a connection."""
STANDSTILL = 0.8
"""Seconds without a token, of a model that makes one each 0.06 s, that a user notices."""
STOPS_AFTER = 0.4
"""Seconds after a question at which a deployment stops the relay."""
AT_A_TIME = 4
"""Users, and titles; more than one, so that more workers do not hide a blocked one."""


def at_once(running: Running) -> None:
    """Check ticket 1: the page shows the tokens as they are made."""
    for url, way, hint in (
        (running.relay.url, "Asked directly, past nginx", ""),
        (running.front, "Through nginx", "The relay alone sends each token as it is made. "),
    ):
        seen = ask(url, "/chat", "Count.", within=PATIENCE)
        _complete(seen, TEXT, way)
        if seen.first > 0.6 * seen.ended:
            raise Wrong(
                f"{hint}{way}, the first token came after {seen.first:.1f} s, together with all "
                "the others."
            )
    _needs_nginx(running)


def long_questions(running: Running) -> None:
    """Check ticket 2: a model that thinks for a while is waited for."""
    with Gateway(running.front, idle=OFFICE) as office:
        direct, front, chat = together(
            [
                partial(ask, running.relay.url, "/answer", "Think.", within=PATIENCE),
                partial(ask, running.front, "/answer", "Think.", within=PATIENCE),
                partial(ask, office.url, "/chat", "Think.", within=PATIENCE),
            ]
        )
    if direct.status != 200 or TEXT not in direct.text:
        raise Wrong(
            f"Asked directly, past nginx, /answer got {_ending(direct)}. The model thinks for "
            f"{THINKS} s before its first token, and an answer may take {LIMIT:g} s."
        )
    if front.status != 200 or TEXT not in front.text:
        raise Wrong(
            f"Through nginx, /answer got {_ending(front)}. Asked directly, the relay answers with "
            f"status 200 after {direct.ended:.1f} s."
        )
    if not chat.done:
        raise Wrong(
            f"From the office, /chat got {_ending(chat)}. Its balancer closes a connection on "
            f"which nothing comes for {OFFICE} s, and the model thinks for {THINKS} s."
        )
    _complete(chat, TEXT, "From the office")
    _needs_nginx(running)


def at_night(running: Running) -> None:
    """Check ticket 3: the model's server stops when a user leaves, and at the limit."""
    for path in ("/chat", "/answer"):
        release = watch_release(
            running.gpu, leaving(running.front, path, "Babble."), after=0.8, watch=SLACK
        )
        if isinstance(release.server, Unknown):
            raise Wrong(f"A user left {path}, but {release.server}.")
        if release.server == GOES_ON:
            raise Wrong(
                f"A user left {path} in the middle of an answer. {SLACK} s later the model still "
                f"generated: {release.tokens} tokens since then."
            )
    answers = together(
        [
            partial(ask, running.relay.url, path, "Babble.", within=LIMIT + SLACK)
            for path in ("/chat", "/answer")
        ]
    )
    for path, seen in zip(("/chat", "/answer"), answers, strict=True):
        if seen.ending == OPEN:
            raise Wrong(
                f"The model babbles, and the user stays: {LIMIT + SLACK} s after the question "
                f"{path} still had no end. The limit is {LIMIT:g} s."
            )
        if seen.ended < LIMIT - 1:
            raise Wrong(f"{path} got {_ending(seen)}, but an answer may take {LIMIT:g} s.")


def titles(running: Running) -> None:
    """Check ticket 4: a title does not stop the chats of others."""
    # Asked directly, so that what nginx does to an answer does not matter here.
    chat = partial(ask, running.relay.url, "/chat", "Tell.", within=PATIENCE)
    title = partial(ask, running.relay.url, "/title", "Why?", within=PATIENCE)
    calls = [chat] * AT_A_TIME + [title] * AT_A_TIME
    answers = together(calls, apart=0.15)
    worst = max(each.pause for each in answers[:AT_A_TIME])
    late = max(each.first for each in answers[:AT_A_TIME])
    for each in answers[AT_A_TIME:]:
        if each.status != 200 or "A title that takes" not in each.text:
            raise Wrong(f"/title got {_ending(each)}.")
    if max(worst, late) > STANDSTILL:
        raise Wrong(
            f"{AT_A_TIME} users read an answer, and {AT_A_TIME} titles were made. "
            + (
                f"The answers stood still for {worst:.1f} s."
                if worst > STANDSTILL
                else f"An answer had its first token after {late:.1f} s."
            )
        )
    for each in answers[:AT_A_TIME]:
        _complete(each, LONG, "Beside the titles")


def broken_answers(running: Running) -> None:
    """Check ticket 5: a half answer is not passed off as complete."""
    seen, whole, late = together(
        [
            partial(ask, running.front, "/chat", "Break.", within=PATIENCE),
            partial(ask, running.front, "/answer", "Break.", within=PATIENCE),
            partial(ask, running.front, "/chat", "Babble.", within=LIMIT + SLACK),
        ]
    )
    if seen.ending == OPEN:
        raise Wrong(f"The model's server went away, and {PATIENCE:g} s later /chat was still open.")
    if seen.done:
        raise Wrong(
            f"The model's server went away after 9 tokens. The page got "
            f"{len(seen.tokens)} tokens and then the event `done`."
        )
    if not seen.tokens:
        raise Wrong("The model's server went away after 9 tokens, and the page shows none of them.")
    if not seen.failed and seen.ending == WHOLE:
        raise Wrong(
            "The model's server went away. The answer of /chat has no `done` now, but it ends as "
            "if all were well: the page waits for an event `error` or for a cut."
        )
    if whole.status == 200 and whole.ending == WHOLE:
        raise Wrong("The model's server went away, and /answer has status 200.")
    if late.done:
        raise Wrong(
            f"The model babbled until the limit of {LIMIT:g} s. The page got {len(late.tokens)} "
            "tokens and then the event `done`, but the model had not finished."
        )
    _complete(ask(running.front, "/chat", "Count.", within=PATIENCE), TEXT, "After that")


def model_list(running: Running) -> None:
    """Check ticket 6: the list of models arrives."""
    seen = ask(running.front, "/models", within=PATIENCE)
    if seen.ending == CUT or not seen.status:
        raise Wrong(
            f"/models was cut: the page has read {seen.text[:30]!r} and waits for more, "
            "and its connection is closed."
        )
    if seen.status != 200 or seen.text.replace(" ", "") != f'["{running.gpu.model}"]':
        raise Wrong(f"/models got {_ending(seen)} and the text {seen.text[:60]!r}.")


def deployment(running: Running) -> None:
    """Check ticket 7: answers that have begun are finished before the relay ends."""
    left = len(LONG.split()) * GAP
    reading = partial(ask, running.relay.url, "/chat", "Tell.", within=PATIENCE)

    def deploy() -> Answer:
        running.relay.stop()
        return Answer()

    began = time.monotonic()
    seen, _ = together([reading, deploy], apart=STOPS_AFTER)
    if not seen.done or seen.shown != LONG:
        raise Wrong(
            f"The relay was stopped {STOPS_AFTER} s after a question. The page got {_ending(seen)} and "
            f"{len(seen.tokens)} of {len(LONG.split())} tokens, {time.monotonic() - began:.1f} s "
            f"after the question; the model needs {left:.1f} s for all."
        )


def untold(running: Running) -> None:
    """Check what no ticket is about: a user who leaves early, and a model that refuses."""
    release = watch_release(
        running.gpu, leaving(running.front, "/chat", "Think."), after=0.8, watch=SLACK
    )
    if release.server == GOES_ON:
        raise Wrong(
            f"A user left /chat while the model was thinking. {SLACK} s later the model was still "
            "at it."
        )
    seen = ask(running.front, "/chat", "Refuse.", within=PATIENCE)
    if seen.ending == OPEN:
        raise Wrong(f"The model refused a question, and {PATIENCE:g} s later /chat was still open.")
    if seen.done or (seen.status == 200 and seen.ending == WHOLE and not seen.failed):
        raise Wrong(
            f"The model refused a question. /chat got {_ending(seen)}, "
            + ("and `done`." if seen.done else "without `done` or an event `error`.")
        )
    with Gateway(running.front, idle=OFFICE) as office:
        seen = ask(office.url, "/chat", "Babble.", within=LIMIT + SLACK)
    if seen.ending == OPEN or seen.done:
        raise Wrong(f"The model babbled, and from the office /chat got {_ending(seen)}.")


def _complete(seen: Answer, text: str, way: str) -> None:
    """Check that a page shows the whole answer, and nothing else."""
    if not seen.status:
        raise Wrong(f"{way}, /chat did not answer.")
    if seen.status != 200 or not seen.done:
        raise Wrong(f"{way}, /chat got {_ending(seen)}, and the event `done` is missing.")
    if seen.shown != text:
        raise Wrong(
            f"{way}, the page shows {seen.shown[:60]!r}, but the model said {text[:40]!r} …: each "
            "token is a JSON string in the data of an event."
        )


def _ending(seen: Answer) -> str:
    """Return how an answer ended, in words."""
    if not seen.status:
        return f"no answer after {seen.ended:.1f} s"
    if seen.status != 200:
        return f"status {seen.status} after {seen.ended:.1f} s"
    words = {CUT: "an answer that was cut", OPEN: "an answer that did not end"}
    return f"{words.get(seen.ending, 'an answer that ended')} after {seen.ended:.1f} s"


def _needs_nginx(running: Running) -> None:
    if running.without_nginx:
        raise Wrong(f"What can be checked without nginx is repaired. {running.without_nginx}")
