"""From log files to the lines that show how a stream ended."""

import errno
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from stream_lab.doctor.events import quote
from stream_lab.doctor.logs import (
    formats,
    gunicorn,
    joins,
    packed,
    prefixes,
    probes,
    tables,
    tracebacks,
)
from stream_lab.doctor.logs.line import Line, Record, Rule, Worker

LONGEST = 20_000  # characters of a line that are read; more is a payload
SHOWN = 240  # characters of a line that are quoted
AT_ONCE = 1_000_000  # bytes of a line that are read at once
MOST_UNPACKED = 4_000_000_000  # bytes of a packed log
LARGEST = 400  # lines of a traceback that are kept; more is a recursion
_PRODUCTS = (
    "nginx",
    "apache",
    "httpd",
    "haproxy",
    "envoy",
    "traefik",
    "caddy",
    "gunicorn",
    "uvicorn",
)


@dataclass
class _Source:
    """What is known of one container, unit or service in one file.

    Attributes:
        product: the program that wrote its lines. Empty: unknown.
        worker: the class of its gunicorn workers.
        pending: the last record, which a traceback may follow. None: there is none.
        block: the lines of a traceback so far. Empty: none has begun.
        is_new: whether the last record was written during the examination.
        before: the record that was judged last. None: there is none.
        waiting: the servers that stop, and still wait for a stream, by process number.
        found: the lines of evidence.
    """

    product: str
    worker: Worker = Worker.UNKNOWN
    pending: Record | None = None
    block: str = ""
    is_new: bool = False
    before: Record | None = None
    waiting: dict[str, Record] = field(default_factory=dict)
    found: list[Line] = field(default_factory=list)


def lines_of(files: Iterable[Path], *, sizes: Mapping[Path, int] | None = None) -> list[Line]:
    """Return the lines of some log files that show how a stream ended.

    Lines of health checks and of connections without a request are left out.

    Args:
        files: the logs, also packed by gzip, bzip2 or xz, as a rotation leaves them.
        sizes: the size of each file when the examination began, in bytes; what follows is new.
            None: no line is new. No line of a packed file is.

    Raises:
        OSError: a file cannot be read, or its compression is broken.
    """
    found: list[Line] = []
    for file in files:
        is_packed = packed.is_packed(file)
        old = None if is_packed else (sizes or {}).get(file)
        with packed.opened(file) as log:
            raws = _cut(log, MOST_UNPACKED if is_packed else None, file)
            found += _of_one(raws, "/".join(file.parts[-2:]), old)
    return found


def _cut(log: BinaryIO, most: int | None, file: Path) -> Iterator[bytes]:
    """Yield lines; of an overlong one only the beginning.

    Raises:
        OSError: the log has more bytes in it than `most`; None: any number is fine.
    """
    whole = True  # whether the last piece ended a line
    read = 0
    while raw := log.readline(AT_ONCE):
        read += len(raw)
        if most is not None and read > most:
            raise OSError(errno.EFBIG, f"it unpacks to more than {most:,} bytes", str(file))
        # What follows in an overlong line is passed on as an empty line, for its length.
        yield raw if whole else b" " * len(raw)
        whole = raw.endswith(b"\n")


def _of_one(raws: Iterable[bytes], name: str, old: int | None) -> list[Line]:
    sources: dict[str, _Source] = {}
    place = 0
    for raw in raws:
        is_new = old is not None and place >= old
        place += len(raw)
        if not (bare := raw[:LONGEST].decode(errors="replace").rstrip("\r\n")).strip():
            continue
        stripped = prefixes.strip(bare)
        source = sources.get(stripped.source)
        if source is None:
            source = sources[stripped.source] = _Source(_product(stripped.source or name))
        if source.block and tracebacks.continues(stripped.text, source.block):
            if source.block.count("\n") < LARGEST:
                source.block += f"{stripped.text}\n"
        elif tracebacks.BEGINS.match(stripped.text):
            if source.pending is not None and (source.block or source.pending.status is not None):
                _finish(source)
            nameless = Record(bare, "", stripped.at, stripped.has_zone, stripped.source)
            source.pending = source.pending or nameless
            source.is_new = is_new
            source.block = f"{stripped.text}\n"
        else:
            _finish(source)
            source.pending, source.is_new = formats.of(stripped, bare), is_new
    for source in sources.values():
        _finish(source)
    return [_classified(line, source) for source in sources.values() for line in source.found]


def _finish(source: _Source) -> None:
    """Judge the pending record of a source, now that it is known to be whole."""
    record, block = source.pending, source.block
    source.pending, source.block = None, ""
    if record is None:
        return
    if block:
        record = replace(record, traceback=record.traceback + block)
    if record.product and record.status is None:
        source.product = record.product
    elif not record.product:
        record = replace(record, product=source.product if record.status is not None else "")
    record = joins.with_request(record, source.before)
    joins.complete(source.found, record)
    source.before = record
    _learn_worker(record, source)
    source.found += [
        _line(each, joins.INTERRUPTED) for each in joins.killed(source.waiting, record)
    ]
    if (line := _judge(record, source.worker)) is not None:
        source.found.append(replace(line, is_new=source.is_new))


def _judge(record: Record, worker: Worker) -> Line | None:
    is_killed = gunicorn.TIMEOUT.search(record.message) and record.status is None
    rule = gunicorn.rule_of(worker) if is_killed else tables.rule_of(record)
    if rule is None or (record.path and probes.is_probe(record)):
        return None
    return _line(record, rule, worker if is_killed else None)


def _line(record: Record, rule: Rule, worker: Worker | None = None) -> Line:
    at, has_zone = formats.moment(record)
    return Line(
        rule.who,
        rule.meaning,
        _quoted(record),
        at,
        rule.advice,
        rule.is_orderly,
        worker=worker,
        method=record.method,
        path=record.path,
        agent=record.agent,
        has_zone=has_zone,
        shown=rule.cause,
    )


def _learn_worker(record: Record, source: _Source) -> None:
    """Note the class of gunicorn's workers, from its start or from a traceback."""
    if match := gunicorn.USING.search(record.message):
        source.worker = gunicorn.worker_of(match["name"])
    elif source.worker is Worker.UNKNOWN and record.traceback:
        for worker, frame in gunicorn.FRAMES.items():
            if frame.search(record.traceback):
                source.worker = worker


def _classified(line: Line, source: _Source) -> Line:
    """Name the worker's class, also where a later line has shown it."""
    if line.worker is not Worker.UNKNOWN or source.worker is Worker.UNKNOWN:
        return line
    rule = gunicorn.rule_of(source.worker)
    return replace(line, worker=source.worker, meaning=rule.meaning, advice=rule.advice)


def _quoted(record: Record) -> str:
    if not record.traceback:
        return quote(record.text.strip(), SHOWN)
    lines = [line.strip(" |+-") for line in record.traceback.splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    return f"{quote(record.text.strip())} … {quote(last)}"


def _product(name: str) -> str:
    found = next((each for each in _PRODUCTS if each in name.lower()), "")
    return "apache" if found == "httpd" else found
