"""The error answer to a request that vLLM refuses."""

import re
from collections.abc import Sequence
from typing import Any

_SECRETS = (
    (re.compile(r" at 0x[0-9a-fA-F]+>"), ">"),
    (re.compile(r'\n?\s*File "[^"]+", line \d+, in \S+(\n\s+.*)?'), ""),
    (re.compile(r"/(?:home|usr|opt|var|tmp|root|lib|mnt|srv)(?:/[\w.\-]+)+"), "<path>"),
    (re.compile(r"(?:/[\w\-]+)+/[\w\-]+\.\w+"), "<path>"),
)


class Refused(Exception):
    """Raised when a request gets an error as its answer.

    Attributes:
        status: the status code.
        body: the object that becomes JSON.
        headers: further headers, in wire order.
    """

    def __init__(
        self,
        status: int,
        type: str,
        message: str,
        param: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = error(status, type, message, param)
        self.headers = headers


def error(status: int, type: str, message: str, param: str | None = None) -> dict[str, Any]:
    """Return the JSON of an error; as on vLLM, paths become `<path>`."""
    for pattern, instead in _SECRETS:
        message = pattern.sub(instead, message)
    return {"error": {"message": message.strip(), "type": type, "param": param, "code": status}}


def bad(message: str, param: str | None = None, value: Any = None) -> Refused:
    """Return the error of vLLM's own checks, which repeats the parameter and its value."""
    details = [
        f"{name}={what}"
        for name, what in (("parameter", param), ("value", value))
        if what is not None
    ]
    return Refused(
        400, "BadRequestError", f"{message} ({', '.join(details)})" if details else message, param
    )


def unknown_model(model: str, served: Sequence[str]) -> Refused:
    return Refused(
        404,
        "NotFoundError",
        f"The model `{model}` does not exist. Valid aliases: {', '.join(served)}.",
        "model",
    )


def invalid(faults: Sequence[str], param: str | None) -> Refused:
    """Return the error of an invalid body, with a line for each fault.

    vLLM shows ten faults.
    """
    label = "error" if len(faults) == 1 else "errors"
    lines = [f"{len(faults)} validation {label}:", *faults[:SHOWN]]
    if len(faults) > SHOWN:
        lines.append(f"...and {len(faults) - SHOWN} more {label}")
    return Refused(400, "Bad Request", "\n  ".join(lines), param)


SHOWN = 10
