"""The atlas to search: a form for paths and streams, and tables."""

import math
from collections.abc import Mapping, Sequence

from stream_lab.course.form import Choices, Form, Table
from stream_lab.doctor import atlas
from stream_lab.doctor.atlas import KINDS, Layer, Stack, Stream, Verdict
from stream_lab.doctor.atlas_picture import draw
from stream_lab.doctor.limits import Bounds, Limit, load
from stream_lab.plots import Picture

NONE = "–"
MODEL = "vLLM"
"""The model's server, with which every path of the form ends."""
OWN = "stream-deadline"
POSITIONS = {"client": "client", "platform": "platform", "proxy": "proxy", "server": "worker"}
"""The fields of a path by side; the SDK and the deadline in it come after them."""
TIMES = [0.5, 1, 5, 20, 45, 90, 150, 400, 900]
"""Seconds that the form offers."""


def verdicts(examples: Mapping[str, Verdict]) -> Table:
    """Return a table of the limits that end several streams."""
    lines = [["path", "fires first", "after", "the client and the logs", "no layer bounds"]]
    for name, verdict in examples.items():
        first = verdict.first
        unset = [KINDS[kind] for kind in verdict.stack.unset()]
        lines.append(
            [
                name,
                " or ".join(each.words for each in verdict.race) or "no limit",
                f"{first.at:g} s" if first else "never",
                (first.limit.message or NONE) if first else NONE,
                ", ".join(unset) or NONE,
            ]
        )
    return Table(lines)


def firing(verdict: Verdict) -> Table:
    """Return a table of all limits that would end the stream, the first first."""
    lines = [["at", "limit", "value", "bounds", "where it is set", "the client and the logs"]]
    lines += [
        [f"{each.at:g} s", each.limit.name, f"{each.setting:g} s", KINDS[each.limit.bounds],
         each.limit.where, each.limit.message or NONE]
        for each in verdict.fired
    ]  # fmt: skip
    return Table(lines if verdict.fired else [*lines, ["never", "no limit", *[NONE] * 4]])


def limits_of(path: Stack) -> Table:
    """Return a table of the limits of a path that can be set."""
    lines = [["limit", "value", "bounds"]]
    for layer in path.layers:
        for limit in layer.limits:
            if limit.can_be_set:
                value = path.seconds(limit)
                words = "off" if value is None else f"{value:g} s"
                lines.append([limit.name, words, KINDS[limit.bounds]])
    return Table(lines)


def search(words: str, bounds: Bounds | None = None) -> Table:
    """Return the limits that have all these words in any of their fields.

    Args:
        words: words, in any order and in any case.
        bounds: the kind of bound. None: any.
    """
    wanted = words.lower().split()
    found = [
        limit
        for limit in load()
        if (bounds is None or limit.bounds == bounds)
        and all(word in _text(limit) for word in wanted)
    ]
    lines = [["product", "knob", "default", "bounds", "the client and the logs"]]
    lines += [
        [limit.product, limit.knob, _default(limit), KINDS.get(limit.bounds, limit.bounds),
         limit.message or NONE]
        for limit in found
    ]  # fmt: skip
    return Table(lines if found else [*lines, ["nothing found", *[NONE] * 4]])


def explore(examples: Mapping[str, Verdict], *, live: bool) -> Form:
    """Return a form for paths and streams that shows which limit fires first.

    Args:
        examples: what is shown where there is no form.
        live: whether the form is shown.
    """
    known = atlas.layers()
    fields: dict[str, Choices] = {
        title: _names([each for each in known.values() if each.side == side])
        for side, title in POSITIONS.items()
    }
    fields["SDK"] = _names([each for each in known.values() if each.side == "sdk"])
    times = {f"{each:g} s": float(each) for each in TIMES}
    fields["deadline of your own"] = {NONE: None, **times}
    fields["first byte after"] = times
    fields["longest pause"] = {"none": 0.0, **times}
    fields["the answer ends"] = {"never": math.inf, "after the pause": 0.0, **times}
    fields["comments every"] = {NONE: None, "15 s": 15.0, "45 s": 45.0}
    chosen = {
        "client": "browsers, Chromium",
        "proxy": "nginx",
        "worker": "gunicorn, uvicorn worker",
        "SDK": "LangChain, astream",
        "first byte after": 1.0,
        "longest pause": 90.0,
    }
    return Form(fields, _shown, instead=verdicts(examples), live=live, chosen=chosen)


def _shown(
    client: str | None,
    platform: str | None,
    proxy: str | None,
    worker: str | None,
    sdk: str | None,
    own: float | None,
    first: float,
    pause: float,
    total: float,
    comments: float | None,
) -> Sequence[Table | Picture]:
    """Return the map, the table and the advice for the values of the form's fields."""
    inner = [*([OWN] if own else []), *([sdk] if sdk else []), MODEL]
    names = [each for each in (client, platform, proxy, worker) if each] + inner
    path = atlas.stack(*names)
    if own:
        path = path.with_settings({f"{OWN}, timeout": own})
    verdict = atlas.who_fires_first(path, Stream(first, pause, max(total, first + pause), comments))
    what = " or ".join(each.words for each in verdict.race) or "No limit"
    advice = Table([["what to set"], *([each] for each in atlas.what_to_set(verdict))])
    return [draw(verdict, f"{what} ends the stream"), firing(verdict), advice]


def _names(found: list[Layer]) -> dict[str, str | None]:
    left_out = (MODEL, OWN)
    names = {each.name: each.name for each in found if each.name not in left_out}
    return {NONE: None, **names}


def _text(limit: Limit) -> str:
    fields = [limit.product, limit.knob, limit.where, limit.message, limit.note, *limit.variants]
    kind = [limit.bounds, KINDS.get(limit.bounds, ""), limit.side, _default(limit)]
    return " ".join(each for each in [*fields, *kind] if each).lower()


def _default(limit: Limit) -> str:
    return "none" if limit.default is None else f"{limit.default:g} s"
