"""Read a model's time-outs, however they were passed."""

from numbers import Real
from typing import Any

from stream_deadline._budget import seconds

BOUNDS = ("timeout", "stream_timeout", "first_chunk_timeout", "idle_timeout")
"""The names by which a model and a call know their bounds."""


def bounds_as_fields(values: dict[str, Any], *, has_alias: bool) -> dict[str, Any]:
    """Return a model's values with its bounds in the fields for them.

    A bound inside `model_kwargs` would become an argument of the SDK, which knows only `timeout`.

    Args:
        values: what the model's constructor was given.
        has_alias: whether the field `request_timeout` still has its alias `timeout`. A subclass
            that declares the field anew loses it.
    """
    others = values.get("model_kwargs")
    if isinstance(others, dict) and not others.keys().isdisjoint(BOUNDS):
        values = {**values, **{name: others[name] for name in BOUNDS if name in others}}
        values["model_kwargs"] = {name: v for name, v in others.items() if name not in BOUNDS}
    if "timeout" in values and not has_alias:
        values = {**values, "request_timeout": values["timeout"]}
        del values["timeout"]
    return values


def total_seconds(timeout: Any) -> float | None:
    """Return what `timeout` says about the whole call, in seconds; None: no bound.

    Raises:
        ValueError: it has a time-out for each phase, which says nothing about the whole; or it is
            not a positive number.
    """
    if has_phases(timeout):
        raise ValueError(f"timeout={timeout!r} does not say how long a call may take in all; pass stream_timeout=… too.")
    return seconds("timeout", timeout)


def socket_timeout(timeout: Any) -> Any:
    """Return a number as a float, since sockets do not take numpy's numbers or fractions."""
    return float(timeout) if isinstance(timeout, Real) else timeout


def has_phases(timeout: Any) -> bool:
    """Return whether it is an `httpx.Timeout` or a tuple, with one value for each phase."""
    return isinstance(timeout, tuple) or hasattr(timeout, "connect")
