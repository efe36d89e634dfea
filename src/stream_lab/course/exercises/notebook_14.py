"""The checkers of notebook 14: limits for a path, and the knobs behind three logs."""

from collections.abc import Callable, Mapping
from typing import Any

from stream_lab.course.exercise import Wrong, exercise
from stream_lab.errors import LabError

OWN = "stream-deadline, timeout"
HEALTHY = "healthy"

KNOBS = {
    "a": ("nginx", "proxy_read_timeout"),
    "b": ("Heroku", "rolling window"),
    "c": ("LangChain", "ChatOpenAI stream_chunk_timeout"),
}
MISTAKES = {
    "a": {
        "proxy_connect_timeout": "nginx had connected: it was reading the head of the response.",
        "proxy_send_timeout": "nginx had sent the request: it was reading the response.",
        "send_timeout": "this knob is about a client that does not read; the line says `upstream`.",
    },
    "b": {"initial window": "the initial window has code H12; search for H15."},
    "c": {"ChatOpenAI timeout": "the class of the error names another knob; search for it."},
}
VAGUE = ("timeout", "nginx", "heroku", "langchain", "idle", "read timeout")


@exercise(
    "14.1",
    hints=(
        "Begin inside: the deadline must be longer than the healthy answer. Then go outwards.",
        "Each limit on silence outside the deadline must be longer than the deadline itself.",
    ),
    idea="Order the limits from the inside out: the healthy answer, then your deadline, then every "
    "limit on silence.",
)
def limits_of_a_path(
    answer: object, path: Any, streams: Mapping[str, Any], who_fires_first: Callable[..., Any]
) -> None:
    """Accept settings under which every faulty stream is ended by the deadline.

    Args:
        answer: seconds by the name of a limit.
        path: the `Stack` of the exercise.
        streams: by name; the one that is called "healthy" must pass.
        who_fires_first: the atlas's function.
    """
    if not isinstance(answer, Mapping):
        raise Wrong("The answer is a dict: names of limits, and seconds.")
    try:
        chosen = path.with_settings(answer)
    except LabError as error:
        raise Wrong(str(error)) from None
    found = {name: who_fires_first(chosen, stream) for name, stream in streams.items()}
    first = found[HEALTHY].first
    if first is not None:
        raise Wrong(
            f"{first.words} ends the healthy stream after {first.at:g} s; that one must pass."
        )
    for name, verdict in found.items():
        if name == HEALTHY:
            continue
        if verdict.first is None:
            raise Wrong(f"No limit ends the {name} stream.")
        others = [each.words for each in verdict.race if each.limit.name != OWN]
        if verdict.name == OWN and others:
            raise Wrong(f"{others[0]} fires together with your deadline: leave room between them.")
        if verdict.name != OWN:
            missing = "" if chosen.settings.get(OWN) else f" Nothing sets {OWN}."
            raise Wrong(
                f"{verdict.first.words} ends the {name} stream, and not your deadline.{missing}"
            )


@exercise(
    "14.2",
    hints=(
        "Search for the rarest word of each line: `search('H15')`.",
        "In a, read what nginx was doing: reading, sending or connecting, and to which side.",
    ),
    idea="Each message stands in one entry of the atlas, and its second column is the answer.",
)
def knobs_of_the_logs(answer: object) -> None:
    """Accept the names of the three knobs, with or without their products."""
    if not isinstance(answer, Mapping):
        raise Wrong(
            'The answer is a dict with a name for each line: {"a": "…", "b": "…", "c": "…"}.'
        )
    for line, (product, knob) in KNOBS.items():
        given = answer.get(line)
        if given is None or given is ...:
            raise Wrong(f"There is no answer for {line} yet.")
        if not isinstance(given, str):
            raise Wrong(f"The answer for {line} is the name of a knob, in quotes.")
        if _plain(given) in VAGUE:
            raise Wrong(f"In {line}: write the product and its knob, as the atlas has them.")
        if not _names(given, product, knob):
            said = [
                words
                for name, words in MISTAKES[line].items()
                if _plain(given).endswith(_plain(name))
            ]
            raise Wrong(f"In {line}: {said[0] if said else 'it is another knob.'}")


def _names(given: str, product: str, knob: str) -> bool:
    known = {_plain(knob), _plain(f"{product} {knob}"), _plain(knob).split()[-1]}
    known |= {_plain(f"{product} {knob.split()[-1]}")}
    return _plain(given) in known - {"window"}


def _plain(text: str) -> str:
    return " ".join(text.replace(",", " ").lower().split())
