"""Known limits: which product cuts a connection by default, and after how long.

The data is in `limits.yaml`, which is edited by hand; this module reads and checks it.
`stream_lab.doctor.limits_page` makes a page from it.
"""

import datetime
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stream_lab.bounded_yaml import NotYaml, read_yaml
from stream_lab.errors import LabError
from stream_lab.untrusted import one_line

FILE = Path(__file__).with_name("limits.yaml")

Bounds = Literal[
    "connect",
    "request",
    "first_byte",
    "idle",
    "total",
    "heartbeat",
    "keep_alive",
    "shutdown",
    "buffer",
]
"""What a limit bounds, as the seconds from one event to another:

- `connect`: from the attempt to connect to the connection.
- `request`: from the start of a request to its end, as a server receives it.
- `first_byte`: from the end of the request to the first byte of the answer.
- `idle`: from one byte to the next, in either direction, and before the first byte too.
- `total`: from the start of the request to the end of the answer.
- `heartbeat`: from one sign of life of a process to the next, even while its requests do nothing.
- `keep_alive`: from the end of an answer to the next request on the connection.
- `shutdown`: from the order to stop to the end of the streams that still run.
- `buffer`: not a time; the product holds bytes back.
"""

Side = Literal["client", "sdk", "proxy", "platform", "server"]

Counts = Literal["bytes", "chunks", "unread"]
"""What restarts a limit on silence:

- `bytes`: whatever arrives, so also a comment line of an event stream.
- `chunks`: a chunk of the answer. A comment line does not, and the limit begins with the head.
- `unread`: a read of the client. It is a limit on a client that does not read.
"""

EXPLAINED_BY: dict[Bounds, tuple[Bounds, ...]] = {"first_byte": ("first_byte", "idle", "total")}
"""A silence before the first byte can also be explained by a limit on silence or in all."""

Text = Annotated[str, Field(min_length=1, pattern=r"^\S(.*\S)?$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measured(_Part):
    """Proof by a run.

    Attributes:
        version: the version of the product.
        date: the day of the run.
        how: one sentence that describes the run.
    """

    version: Text
    date: datetime.date
    how: Text


class Source(_Part):
    """Proof by a document.

    Attributes:
        url: the address of the document.
        date: the day on which it was read.
        quote: a few of its words. None: no quotation.
    """

    url: Annotated[Text, Field(pattern=r"^https://\S+$")]
    date: datetime.date
    quote: Text | None = None


class Proof(_Part):
    """Proof of a default: exactly one of the two."""

    measured: Measured | None = None
    source: Source | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.measured is None) == (self.source is None):
            raise ValueError("exactly one of measured and source")
        return self


class Limit(_Part):
    """A product's default limit.

    Attributes:
        product: the product's name.
        knob: the setting's name, as its documentation spells it.
        where: where it is set: a file, a command line, a console, an argument.
        default: seconds. None: there is no such limit until it is set.
        bounds: what it bounds; see `Bounds`.
        counts: what restarts it, if it bounds a silence; see `Counts`.
        side: where the product stands on the way from client to model.
        variants: the kinds of installation that have it, such as a class of workers. Empty: all.
        message: what its client sees when the limit is hit, and what its log says. None: nothing,
            or its documentation does not say.
        note: a fact that readers would not expect. None: there is none.
        proof: how this is known.
    """

    product: Text
    knob: Text
    where: Text
    default: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] | None
    bounds: Bounds
    counts: Counts = "bytes"
    side: Side
    variants: tuple[Text, ...] = ()
    message: Text | None
    note: Text | None = None
    proof: Proof

    @property
    def name(self) -> str:
        return f"{self.product}, {self.knob}"

    @property
    def can_be_set(self) -> bool:
        """Tell whether the user of the product can change it."""
        return "cannot be set" not in self.where and not self.where.startswith("nowhere")


class LimitsError(LabError):
    """Raised when the file cannot be used; the text names the entry and the field."""


def load(path: Path = FILE) -> list[Limit]:
    """Return all known limits, in the order of the file.

    Raises:
        LimitsError: the file cannot be read, or an entry is wrong.
    """
    return list(_read(path))


def matching(
    seconds: float,
    bounds: Bounds | None = None,
    *,
    tolerance: float = 0.05,
    limits: Iterable[Limit] | None = None,
) -> list[Limit]:
    """Return the known defaults that explain an end after N seconds, the closest first.

    Args:
        seconds: how long it took until the end.
        bounds: what these seconds were: a silence before the first byte, a silence later (`idle`),
            the whole, and so on. None: unknown.
        tolerance: how far off a default may be, as a fraction of it; at least half a second.
        limits: the limits to search. None: all known ones.
    """
    kinds = get_args(Bounds) if bounds is None else EXPLAINED_BY.get(bounds, (bounds,))
    found = [
        (abs(limit.default - seconds), limit.bounds != bounds, limit)
        for limit in (load() if limits is None else limits)
        if limit.default is not None and limit.bounds in kinds
    ]
    near = [each for each in found if each[0] <= max(0.5, tolerance * (each[2].default or 0))]
    return [limit for *_, limit in sorted(near, key=lambda each: each[:2])]


def longer_than(seconds: float) -> tuple[list[Limit], int]:
    """Return the known limits on the whole that a watch did not reach.

    Args:
        seconds: how long the watch lasted.

    Returns:
        Those limits, the shortest first, and how many limits on the whole are known.
    """
    totals = [(each.default, each) for each in load() if each.bounds == "total" and each.default]
    longer = sorted((each for each in totals if each[0] > seconds), key=lambda each: each[0])
    return [limit for _, limit in longer], len(totals)


@cache
def _read(path: Path) -> tuple[Limit, ...]:
    try:
        text = path.read_text(encoding="utf-8")
        _, entries = read_yaml(text)
    except OSError as error:
        raise LimitsError(f"{path.name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise LimitsError(f"{path.name} is not YAML: it is not UTF-8.") from None
    except NotYaml as error:
        at = f"{path.name}, line {error.line}" if error.line else path.name
        raise LimitsError(f"{at}: {error}.") from None
    if not isinstance(entries, list):
        raise LimitsError(f"{path.name} must be a list of entries.")
    limits = tuple(_limit(path, number, entry) for number, entry in enumerate(entries, 1))
    for (name, bounds), times in Counter((limit.name, limit.bounds) for limit in limits).items():
        if times > 1:
            twice = one_line(f"more than one entry ({name}) with bounds {bounds}")
            raise LimitsError(f"{path.name} has {twice}.")
    return limits


def _limit(path: Path, number: int, entry: object) -> Limit:
    try:
        return Limit.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        named = f" ({entry.get('product')}, {entry.get('knob')})" if isinstance(entry, dict) else ""
        field = ".".join(str(part) for part in first["loc"]) or "the entry as a whole"
        where = one_line(f"entry {number}{named}, {field}")
        raise LimitsError(f"{path.name}, {where}: {first['msg']}.") from None
