"""The error answer: what vLLM says when it will not work on a request."""

from typing import Any

from fake_vllm import wire


class Refused(Exception):
    """Raised when a request gets an error instead of an answer; holds the status and the JSON body."""

    def __init__(self, status: int, type: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = wire.error(status, type, message, param)


def bad(message: str, param: str | None = None, value: Any = None) -> Refused:
    """The error of vLLM's own checks; it repeats the parameter in the text."""
    if param is None:
        return Refused(400, "BadRequestError", message)
    tail = f"(parameter={param}, value={value})" if value is not None else f"(parameter={param})"
    return Refused(400, "BadRequestError", f"{message} {tail}", param)
