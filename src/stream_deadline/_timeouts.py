"""Read a model's time-outs, however they were passed."""

from numbers import Real
from typing import Any

from stream_deadline._budget import Bounds, seconds

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


def take_bounds(own: dict[str, Any], kwargs: dict[str, Any], *, strict: bool) -> Bounds:
    """Return the bounds of one call, from its model and its arguments.

    Args:
        own: the model's values of `BOUNDS`.
        kwargs: the arguments of the call. Its bounds are taken out, except `timeout`, which the SDK
            knows too.
        strict: whether a part of the model that is longer than the whole is an error. In a call
            with a shorter whole it is not; the part is left out.

    Raises:
        ValueError: a bound is not a positive number of seconds, or could never act.
    """
    whole = own["stream_timeout"]
    if "stream_timeout" in kwargs:
        whole = kwargs.pop("stream_timeout")
    elif "timeout" in kwargs and not has_phases(kwargs["timeout"]):
        whole = "timeout"
    if whole == "timeout":
        whole = total_seconds(kwargs.get("timeout", own["timeout"]))
    whole = seconds("stream_timeout", whole)
    if "timeout" in kwargs:
        kwargs["timeout"] = socket_timeout(kwargs["timeout"])
    names = ("first_chunk_timeout", "idle_timeout")
    parts = {name: own[name] for name in names if name not in kwargs}
    of_call = {name: kwargs.pop(name) for name in names if name in kwargs}
    if not strict and whole is not None:
        parts = {name: part for name, part in parts.items() if part is not None and part <= whole}
    return Bounds(whole, **parts, **of_call)


def total_seconds(timeout: Any) -> float | None:
    """Return what `timeout` says about the whole call, in seconds; None: no bound.

    Raises:
        ValueError: it has a time-out for each phase, which says nothing about the whole; or it is
            not a positive number.
    """
    if has_phases(timeout):
        raise ValueError(
            f"timeout={timeout!r} does not say how long a call may take in all; pass "
            "stream_timeout=… too."
        )
    return seconds("timeout", timeout)


def socket_timeout(timeout: Any) -> Any:
    """Return a number as a float, since sockets do not take numpy's numbers or fractions."""
    return float(timeout) if isinstance(timeout, Real) else timeout


def has_phases(timeout: Any) -> bool:
    """Return whether it is an `httpx.Timeout` or a tuple, with one value for each phase."""
    return isinstance(timeout, tuple) or hasattr(timeout, "connect")
