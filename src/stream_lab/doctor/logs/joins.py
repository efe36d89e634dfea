"""Lines that complete each other: one says what happened, its neighbour to which request."""

import re
from dataclasses import replace

from stream_lab.doctor.logs.line import Line, Record

_APACHE_WHERE = re.compile(r"AH00898")
_WORKER = re.compile(r"\[(?P<pid>\d+)\] \[ERROR\] Error handling request")
_RAISED = re.compile(r"Exception in ASGI application")
_NEAR = 8  # lines of evidence back, within which a neighbour is sought


def with_request(record: Record, before: Record | None) -> Record:
    """Return a record with the request that the line before it names.

    uvicorn logs an answer of status 500 and then, without its path, the error that caused it.
    """
    if before is None or before.status != 500 or record.path:
        return record
    if not _RAISED.search(record.message):
        return record
    return replace(record, method=before.method, path=before.path)


def complete(found: list[Line], record: Record) -> None:
    """Give a line that came before the request that a later record names.

    gunicorn reports a killed worker, and then the worker its request; Apache reports why it could
    not read an answer, and then of which path.
    """
    if not record.path:
        return
    killed = _WORKER.search(record.text)
    for number in range(len(found) - 1, max(-1, len(found) - 1 - _NEAR), -1):
        line = found[number]
        is_worker = (
            killed is not None and line.worker is not None and f"pid:{killed['pid']})" in line.text
        )
        is_apache = _APACHE_WHERE.search(record.message) and "Apache" in line.meaning
        if not line.path and (is_worker or is_apache):
            found[number] = replace(line, method=record.method, path=record.path)
            return
