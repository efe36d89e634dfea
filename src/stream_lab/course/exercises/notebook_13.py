"""The exercises of notebook 13: findings in code, layers, and limits."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stream_lab.course.exercise import Wrong, exercise
from stream_lab.course.sample_repository import REASONS

JUDGED = {
    ("app.py", "timeout-per-read"): "b",
    ("app.py", "disconnect-hidden"): "c",
    ("app.py", "invoke-in-async"): "a",
    ("crew.py", "invoke-in-async"): "f",
    ("nightly.py", "blocking-in-async"): "e",
    ("story.py", "scope-across-yield"): "d",
}
LOOK = {
    "timeout-per-read": "What does `timeout=45` of ChatOpenAI bound? See notebook 02.",
    "disconnect-hidden": "What stands between this handler and its client? See notebook 09.",
    "scope-across-yield": "Which task is in the scope when the time is up? See notebook 05.",
}

Report = Mapping[str, Sequence[Mapping[str, Any]]]
WHOLE = {"whole": True, "first": 0.4, "ended": 6.0}
CUT = {"whole": False, "first": 0.4, "ended": 3.1}
AT_ONCE = {"whole": True, "first": 5.9, "ended": 6.0}
REPORTS: tuple[tuple[str, Report, str | None], ...] = (
    ("Only the proxied stream was cut", {"direct": [WHOLE], "proxied": [CUT]}, "proxy"),
    ("Both streams were cut", {"direct": [CUT], "proxied": [CUT]}, "application"),
    (
        "Both were whole, and through the proxy everything came at once",
        {"direct": [WHOLE], "proxied": [AT_ONCE]},
        "proxy",
    ),
    ("Both were whole and in order", {"direct": [WHOLE], "proxied": [WHOLE]}, None),
    (
        "Everything came at once in both",
        {"direct": [AT_ONCE], "proxied": [AT_ONCE]},
        "application",
    ),
    (
        "The second of three direct streams was cut",
        {"direct": [WHOLE, CUT, WHOLE], "proxied": [WHOLE, WHOLE, CUT]},
        "application",
    ),
    (
        "The first token was slow in both, and the rest flowed",
        {"direct": [{**WHOLE, "first": 2.5}], "proxied": [{**WHOLE, "first": 2.5}]},
        None,
    ),
)

Streams = Sequence[Mapping[str, float]]


def _stream(ended: float, silence: float, held: float = 0.0, gap: float = 0.1) -> dict[str, float]:
    return {"ended": ended, "silence": silence, "held": held, "gap": gap}


CUTS: tuple[tuple[str, Streams, str | None], ...] = (
    (
        "These streams were cut at different times, after the same 30 s of silence",
        [_stream(31.0, 30.0), _stream(47.2, 30.1), _stream(33.9, 30.0, 0.7)],
        "silence",
    ),
    (
        "These streams were cut after the same silence, also the one whose request came later",
        [_stream(61.0, 60.0), _stream(61.0, 60.0), _stream(61.0, 60.0, 0.7)],
        "silence",
    ),
    (
        "These streams were cut in full flow, and the late request was cut earlier by its delay",
        [_stream(30.0, 0.1), _stream(30.0, 0.1), _stream(29.3, 0.1, 0.7)],
        "whole",
    ),
    (
        "A limit on the whole fell into a pause of these streams",
        [_stream(30.0, 5.0), _stream(30.0, 5.0), _stream(29.3, 4.3, 0.7)],
        "whole",
    ),
    (
        "These streams were cut in full flow, after different times",
        [_stream(2.3, 0.1), _stream(9.1, 0.1), _stream(4.4, 0.1, 0.7)],
        None,
    ),
    (
        "These streams were cut after the same tokens, also the one whose request came later",
        [_stream(8.0, 0.2, 0.0, 0.2), _stream(8.0, 0.2, 0.0, 0.2), _stream(8.0, 0.2, 0.7, 0.2)],
        None,
    ),
)


@exercise(
    "13.1",
    hints=(
        "Open the file at that line. What is the object, and what else runs in the same loop?",
        "One finding is false, and one is true and harmless. The other four harm.",
    ),
    idea="A check of code knows names and not what they stand for in your program. Ask of each "
    "finding: does this call really wait, and is there something that it keeps waiting?",
)
def judge(answer: object, findings: Sequence[Any]) -> None:
    """Check the judgement of each finding in the sample."""
    if not isinstance(answer, Mapping):
        raise Wrong("Write a dictionary from the findings' numbers to letters.")
    expected = {
        number: (each, JUDGED[each.path.name, each.rule])
        for number, each in enumerate(findings, 1)
        if (each.path.name, each.rule) in JUDGED
    }
    if not expected:
        raise Wrong("The checker knows the sample only: pass its findings, not those of your code.")
    for number, (each, right) in expected.items():
        given = answer.get(number)
        if given is None:
            raise Wrong(f"Finding {number} has no letter.")
        if str(given).lower() not in REASONS:
            raise Wrong(f"Finding {number}: {given!r} is none of the letters.")
        if str(given).lower() != right:
            place = f"{each.path.name}:{each.line}"
            raise Wrong(f"Finding {number}, {place}: {_why(each, given, right)}")


@exercise(
    "13.2",
    hints=(
        "A stream has a fault if it is not whole, or if its first token comes close to its end.",
        "The fault belongs to the layer that is nearest to the model and shows it.",
    ),
    idea='Look at "direct" first: a fault there is the application\'s, whatever the proxy shows. '
    'Only if the direct streams are in order is a fault in "proxied" the proxy\'s.',
)
def name_layer(answer: Callable[[Report], Any]) -> None:
    """Check a function from a report to the layer that has the fault."""
    _each(answer, REPORTS, "Return 'application', 'proxy', or None.")


@exercise(
    "13.3",
    hints=(
        "What is the same in all three: the silence before the cut, or the time since the "
        "connection, `ended + held`?",
        "In full flow the silence before the cut is only the gap between two tokens.",
    ),
    idea="First the whole: `ended + held` is the same, although `held` differs. Then the silence: "
    "it is the same, and much longer than `gap`. Otherwise neither.",
)
def limit(answer: Callable[[Streams], Any]) -> None:
    """Check a function from three cut streams to the kind of limit."""
    _each(answer, CUTS, "Return 'silence', 'whole', or None.")


def _why(finding: Any, given: object, right: str) -> str:
    if right == "f":
        return "look at what this object's `invoke` does. Does it wait for anything?"
    if right == "e":
        return "which other request could stand still? Who starts this file, and how?"
    if str(given).lower() in "ef":
        return "this one harms. What waits while this line runs, or never comes to an end?"
    return LOOK.get(finding.rule, "the call waits for a whole answer. What else runs in this loop?")


def _each(
    answer: Callable[[Any], Any], cases: Sequence[tuple[str, Any, str | None]], words: str
) -> None:
    if not callable(answer):
        raise Wrong("Write a function; the checker calls it with several cases.")
    allowed = {expected for _, _, expected in cases}
    for what, case, expected in cases:
        found = answer(case)
        if found != expected:
            if found not in allowed:
                raise Wrong(f"It returned {found!r}. {words}")
            raise Wrong(f"{what}. Your function returned {found!r}, and that is not the cause.")
