"""The atlas of time-outs: which limit on a path ends a stream first.

Every fact is an entry of `limits.yaml`. This module puts entries into layers, layers into a path
from the client to the model, and compares their times with those of a stream.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache

from stream_lab.doctor.limits import Bounds, Limit, Side, load
from stream_lab.errors import LabError

KINDS: dict[Bounds, str] = {"first_byte": "first byte", "idle": "silence", "total": "total"}
"""The three bounds that matter to a stream, with their names."""

ORDER: tuple[Side, ...] = ("client", "platform", "proxy", "server", "sdk")
"""The sides in the order of the usual path. The model's server, a `server` too, is last."""


class AtlasError(LabError):
    """Raised for an unknown layer or knob, or an impossible stream."""


@dataclass(frozen=True)
class Stream:
    """A streamed answer, as the model's server would send it if nothing ended it.

    Attributes:
        first: seconds from the request to the first byte.
        pause: the longest pause in seconds. It follows the first byte.
        total: seconds from the request to the end. Infinite: the model never stops.
        comments: seconds between the comment lines that the application sends from the start of
            the request while it waits for the model. None: it sends none.
    """

    first: float = 1.0
    pause: float = 0.0
    total: float = math.inf
    comments: float | None = None

    def __post_init__(self) -> None:
        given = [self.first, self.pause, self.total, self.comments or 0.0]
        if any(math.isnan(each) or each < 0 for each in given) or math.isinf(self.first):
            raise AtlasError("The times of a stream are seconds, and none is negative.")
        if self.total < self.first + self.pause:
            raise AtlasError(
                f"A stream of {self.total:g} s has no room for {self.first:g} s to the first byte "
                f"and a pause of {self.pause:g} s; make `total` longer."
            )
        if self.comments == 0:
            raise AtlasError("Comments need a time between them; None means no comments.")

    @property
    def never_ends(self) -> bool:
        return math.isinf(self.total)


@dataclass(frozen=True)
class Layer:
    """A product on the path, in one kind of installation.

    Attributes:
        name: the product, with the kind of installation if it has several.
        side: where it stands.
        limits: its limits of the three kinds, in the order of the file.
    """

    name: str
    side: Side
    limits: tuple[Limit, ...]


@dataclass(frozen=True)
class Stack:
    """The layers of a path, from the client to the model.

    Attributes:
        layers: the outermost first.
        settings: seconds by the name of a limit ("nginx, proxy_read_timeout"), where they are not
            the default. None: the limit is switched off.
    """

    layers: tuple[Layer, ...]
    settings: Mapping[str, float | None] = field(default_factory=dict)

    def with_settings(self, settings: Mapping[str, float | None]) -> "Stack":
        """Return the same path with other limits.

        Args:
            settings: seconds by the name of a limit. None: switch it off.

        Raises:
            AtlasError: no layer has such a limit, it cannot be set, or it is not a time.
        """
        known = {limit.name: limit for layer in self.layers for limit in layer.limits}
        for name, seconds in settings.items():
            if name not in known:
                raise AtlasError(f"No layer of this path has '{name}'{_instead(name, known)}")
            if not known[name].can_be_set:
                raise AtlasError(f"'{name}' cannot be set; its product decides.")
            if seconds is not None and not _is_time(seconds):
                raise AtlasError(f"'{name}' needs a number of seconds above zero, or None.")
        return replace(self, settings={**self.settings, **settings})

    def seconds(self, limit: Limit) -> float | None:
        """Return a limit's value on this path. None: it is off."""
        return self.settings.get(limit.name, limit.default)

    def unset(self) -> list[Bounds]:
        """Return the kinds of bound that no layer of this path sets."""
        covered = {
            kind
            for layer in self.layers
            for limit in layer.limits
            if self.seconds(limit) is not None and limit.counts != "unread"
            for kind in (limit.bounds, *(["first_byte"] if _starts_at_once(limit, layer) else []))
        }
        return [kind for kind in KINDS if kind not in covered]


@dataclass(frozen=True)
class Fired:
    """A limit that ends the stream, if no other has done so before.

    Attributes:
        layer: the layer that has it.
        limit: its entry in the file.
        setting: its value on this path, in seconds.
        at: when it fires, in seconds since the request.
    """

    layer: Layer
    limit: Limit
    setting: float
    at: float

    @property
    def words(self) -> str:
        return f"{self.limit.name} ({self.setting:g} s, {KINDS[self.limit.bounds]})"


@dataclass(frozen=True)
class Verdict:
    """The limits that would end a stream, the first to fire first.

    Attributes:
        stack: the path.
        stream: the stream.
        fired: all limits that are shorter than the stream; of those that fire together, the
            innermost is first.
    """

    stack: Stack
    stream: Stream
    fired: tuple[Fired, ...]

    @property
    def first(self) -> Fired | None:
        """Return the limit that ends the stream. None: no limit does."""
        return self.fired[0] if self.fired else None

    @property
    def race(self) -> tuple[Fired, ...]:
        """Return the limits that fire together with the first; a race decides between them."""
        return tuple(each for each in self.fired if each.at == self.fired[0].at)

    @property
    def name(self) -> str:
        """Return the name of the limit that ends the stream, or "no limit"."""
        return self.first.limit.name if self.first else "no limit"

    def __repr__(self) -> str:
        if not self.fired:
            return "no limit fires" + (", and the model never stops" * self.stream.never_ends)
        lines = [f"{each.at:6g} s  {each.words}" for each in self.fired]
        if len(self.race) > 1:
            lines.append(f"The first {len(self.race)} fire together, so either may be first.")
        return "\n".join(lines)


def layers() -> dict[str, Layer]:
    """Return every known layer by name, in the order of the usual path."""
    return dict(_layers())


def stack(*names: str) -> Stack:
    """Return a path with the defaults of its layers.

    Args:
        names: the names of its layers, from the client to the model.

    Raises:
        AtlasError: there is no such layer, or none at all.
    """
    known = _layers()
    for name in names:
        if name not in known:
            raise AtlasError(f"The atlas has no layer '{name}'{_instead(name, known)}")
    if not names:
        raise AtlasError("A path needs a layer at least.")
    return Stack(tuple(known[name] for name in names))


def who_fires_first(path: Stack, stream: Stream) -> Verdict:
    """Compare all limits of a path with a stream.

    Every layer sees the same bytes until the first limit fires, so a limit fires if it is shorter
    than what it bounds. Only layers outside the application hear its comments.

    Args:
        path: the layers and their settings.
        stream: the stream.
    """
    found = [
        (at, -place, Fired(layer, limit, seconds, at))
        for place, layer in enumerate(path.layers)
        for limit in layer.limits
        if (seconds := path.seconds(limit)) is not None
        and (at := _fires_at(limit, layer, seconds, stream, as_heard(path, place, stream)))
        is not None
    ]
    fired = tuple(each for *_, each in sorted(found, key=lambda each: each[:2]))
    return Verdict(path, stream, fired)


def what_to_set(verdict: Verdict) -> list[str]:
    """Return advice on a path and a stream, a sentence for each limit that matters."""
    stream, advice = verdict.stream, []
    for each in verdict.fired:
        if stream.never_ends and each.limit.bounds == "total":
            continue
        needed = {"first_byte": stream.first, "idle": max(stream.first, stream.pause)}.get(
            each.limit.bounds, stream.total
        )
        ways = []
        if each.limit.can_be_set:
            ways.append(f"raise it above {needed:g} s ({each.limit.where})")
        if each.limit.bounds != "total" and each.limit.counts == "bytes":
            if _hears_comments(verdict.stack, verdict.stack.layers.index(each.layer)):
                ways.append(f"send a comment line every {each.setting / 3:.2g} s")
        elif each.limit.bounds == "total":
            ways.append("end the answer yourself before it, with an error that says so")
        advice.append(f"{each.words}: {', or '.join(ways) or 'it cannot be changed'}.")
    if "total" in verdict.stack.unset():
        advice.append(
            "No layer bounds the whole answer: set a deadline where the model is called "
            "(stream-deadline, timeout)."
        )
    return advice


def named_in(path: Stack, text: str) -> str:
    """Return the name of the limit whose message a text holds, or "no limit".

    Args:
        path: the layers that may have written it.
        text: a client's error, or lines of a log.
    """
    found = [
        (len(part), limit.name)
        for layer in path.layers
        for limit in layer.limits
        for part in _parts(limit.message or "")
        if re.search(_pattern(part), text)
    ]
    return max(found)[1] if found else "no limit"


def _pattern(part: str) -> str:
    """Return an expression for a message: numbers and what the file leaves out may differ."""
    pieces = re.split(r"(\d[\d.]*|…)", part)
    return "".join(
        re.escape(each) if number % 2 == 0 else ".*?" if each == "…" else r"[\d.]+"
        for number, each in enumerate(pieces)
    )


def _parts(message: str) -> list[str]:
    """Return the errors and lines of logs that a message quotes."""
    parts = [
        re.sub(r"^(with \S+|[a-z ]*log( \(\w+\))?): ", "", each) for each in message.split("; ")
    ]
    return [
        re.sub(r"^(\w+\.)+(?=\w+(Error|Timeout|Exceeded)\b)", "", each)
        for each in parts
        if ":" in each
    ]


def as_heard(path: Stack, place: int, stream: Stream) -> Stream:
    """Return a stream as the layer at this place sees it: comments shorten its silences."""
    if stream.comments is None or not _hears_comments(path, place):
        return replace(stream, comments=None)
    return Stream(
        min(stream.first, stream.comments), min(stream.pause, stream.comments), stream.total
    )


def _fires_at(
    limit: Limit, layer: Layer, seconds: float, stream: Stream, heard: Stream
) -> float | None:
    """Return when a limit ends a stream, in seconds since the request. None: never."""
    if limit.counts == "unread":
        return None
    if limit.bounds == "total":
        return seconds if stream.total > seconds else None
    if limit.bounds == "first_byte":
        return seconds if heard.first > seconds else None
    if limit.counts == "chunks":
        return stream.first + seconds if stream.pause > seconds else None
    if heard.first > seconds:
        return seconds if _starts_at_once(limit, layer) else None
    return heard.first + seconds if heard.pause > seconds else None


def _starts_at_once(limit: Limit, layer: Layer) -> bool:
    """Tell whether a limit on silence starts with the request.

    Otherwise it starts with the first byte, since its layer has another limit for that.
    """
    own = any(each.bounds == "first_byte" for each in layer.limits)
    return limit.bounds == "idle" and limit.counts == "bytes" and not own


def _hears_comments(path: Stack, place: int) -> bool:
    """Tell whether comments pass the layer at this place.

    The application sends them, and it stands outside its SDK. On a path that begins with the SDK,
    only the model's server can send them, and every layer hears them.
    """
    sdks = [number for number, layer in enumerate(path.layers) if layer.side == "sdk"]
    return not sdks or sdks[0] == 0 or place < sdks[0]


def _instead(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: what may have been meant."""
    names = list(dict.fromkeys(known))
    by_word = [each for each in names if name and name.lower() in each.lower()]
    near = by_word[:3] or get_close_matches(name, names, cutoff=0.4)
    listed = near or names[:8]
    said = ", ".join(f"'{each}'" for each in listed)
    return f"; did you mean {said}?" if near else f"; it has {said or 'no limit that can be set'}."


def _is_time(seconds: object) -> bool:
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    return number and 0 < seconds < math.inf  # type: ignore[operator]


@cache
def _layers() -> dict[str, Layer]:
    return {layer.name: layer for side in ORDER for layer in _of_side(side)}


def _of_side(side: Side) -> Iterator[Layer]:
    """Yield the layers of a side: one for each variant of a product."""
    here = [limit for limit in load() if limit.side == side]
    both = {limit.product for limit in load() if limit.side != side}
    for product in dict.fromkeys(limit.product for limit in here):
        own = [limit for limit in here if limit.product == product]
        variants = dict.fromkeys(name for limit in own for name in limit.variants)
        title = f"{product}, {side}" if product in both else product
        for variant in variants or ("",):
            limits = tuple(
                limit
                for limit in own
                if limit.bounds in KINDS and (not limit.variants or variant in limit.variants)
            )
            yield Layer(f"{title}, {variant}" if variant else title, side, limits)
