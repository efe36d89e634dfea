"""How the time-outs of a model and of its calls are read."""

from fractions import Fraction
from typing import Any

import httpx2
import pytest

from stream_deadline._budget import Bounds
from stream_deadline._timeouts import (
    bounds_as_fields,
    has_phases,
    socket_timeout,
    take_bounds,
    total_seconds,
)

PHASES = [httpx2.Timeout(5), (3.0, 7.0)]


@pytest.mark.parametrize(
    ("values", "has_alias", "expected"),
    [
        ({"model": "m"}, True, {"model": "m"}),
        ({"timeout": 5}, True, {"timeout": 5}),
        ({"timeout": 5}, False, {"request_timeout": 5}),
        ({"model": "m"}, False, {"model": "m"}),
        ({"model_kwargs": {"top_p": 1}}, True, {"model_kwargs": {"top_p": 1}}),
        ({"model_kwargs": None}, True, {"model_kwargs": None}),
        (
            {"model": "m", "timeout": 5, "model_kwargs": {"timeout": 6, "top_p": 1}},
            True,
            {"model": "m", "timeout": 6, "model_kwargs": {"top_p": 1}},
        ),
        ({"model_kwargs": {"timeout": 6}}, False, {"request_timeout": 6, "model_kwargs": {}}),
        (
            {
                "model_kwargs": {
                    "stream_timeout": 7,
                    "first_chunk_timeout": 2,
                    "idle_timeout": 1,
                }
            },
            True,
            {"stream_timeout": 7, "first_chunk_timeout": 2, "idle_timeout": 1, "model_kwargs": {}},
        ),
    ],
)
def test_bounds_among_other_arguments_become_fields(
    values: dict[str, Any], has_alias: bool, expected: dict[str, Any]
) -> None:
    before = {**values}
    assert bounds_as_fields(values, has_alias=has_alias) == expected
    assert values == before, "what the caller passed is not changed"


OWN: dict[str, Any] = {
    "timeout": 45,
    "stream_timeout": "timeout",
    "first_chunk_timeout": 10,
    "idle_timeout": 2,
}


@pytest.mark.parametrize(
    ("own", "kwargs", "bounds", "left"),
    [
        ({}, {}, Bounds(45, 10, 2), {}),
        ({"stream_timeout": 60}, {}, Bounds(60, 10, 2), {}),
        ({"stream_timeout": None}, {}, Bounds(None, 10, 2), {}),
        ({"timeout": None}, {}, Bounds(None, 10, 2), {}),
        ({}, {"timeout": 30}, Bounds(30, 10, 2), {"timeout": 30.0}),
        ({}, {"timeout": None}, Bounds(None, 10, 2), {"timeout": None}),
        ({"stream_timeout": 60}, {"timeout": 30}, Bounds(30, 10, 2), {"timeout": 30.0}),
        ({"stream_timeout": None}, {"timeout": 30}, Bounds(30, 10, 2), {"timeout": 30.0}),
        ({}, {"stream_timeout": 30}, Bounds(30, 10, 2), {}),
        ({}, {"stream_timeout": "timeout", "timeout": 20}, Bounds(20, 10, 2), {"timeout": 20.0}),
        ({}, {"stream_timeout": 50, "timeout": 20}, Bounds(50, 10, 2), {"timeout": 20.0}),
        ({"stream_timeout": 60}, {"stream_timeout": "timeout"}, Bounds(45, 10, 2), {}),
        ({"stream_timeout": 60}, {"timeout": (3, 7)}, Bounds(60, 10, 2), {"timeout": (3, 7)}),
        ({}, {"first_chunk_timeout": 4, "idle_timeout": None}, Bounds(45, 4, None), {}),
        ({}, {"idle_timeout": 3, "stop": "x"}, Bounds(45, 10, 3), {"stop": "x"}),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_the_bounds_of_a_call_are_its_own_and_then_those_of_the_model(
    own: dict[str, Any], kwargs: dict[str, Any], bounds: Bounds, left: dict[str, Any], strict: bool
) -> None:
    kwargs = {**kwargs}
    assert take_bounds({**OWN, **own}, kwargs, strict=strict) == bounds
    assert kwargs == left
    assert isinstance(kwargs.get("timeout", 0.0), float | tuple | None)


def test_a_part_of_the_model_may_be_longer_than_the_whole_of_one_call_only() -> None:
    assert take_bounds(OWN, {"timeout": 10}, strict=False) == Bounds(10, 10, 2)
    assert take_bounds(OWN, {"timeout": 9}, strict=False) == Bounds(9, None, 2)
    assert take_bounds(OWN, {"timeout": 1}, strict=False) == Bounds(1)
    assert take_bounds({**OWN, "idle_timeout": None}, {"timeout": 20}, strict=False) == Bounds(
        20, 10
    )
    with pytest.raises(ValueError, match="could never act"):
        take_bounds(OWN, {"timeout": 9}, strict=True)
    with pytest.raises(ValueError, match="could never act"):
        take_bounds(OWN, {"timeout": 9, "first_chunk_timeout": 10}, strict=False)


@pytest.mark.parametrize("timeout", PHASES, ids=str)
def test_a_time_out_for_each_phase_says_nothing_about_the_whole(timeout: Any) -> None:
    assert has_phases(timeout)
    with pytest.raises(ValueError, match="does not say how long"):
        total_seconds(timeout)
    with pytest.raises(ValueError, match="does not say how long"):
        take_bounds(OWN, {"timeout": timeout}, strict=True)
    assert socket_timeout(timeout) is timeout


@pytest.mark.parametrize(("name", "value"), [("timeout", "soon"), ("stream_timeout", 0)])
def test_a_value_that_is_no_number_of_seconds_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be"):
        take_bounds(OWN, {name: value}, strict=True)


def test_a_number_is_a_time_out_of_the_whole() -> None:
    assert (total_seconds(3), total_seconds(None)) == (3.0, None)
    assert not has_phases(3)
    assert not has_phases(None)
    with pytest.raises(ValueError, match=r"^timeout must be a positive"):
        total_seconds(-1)


def test_sockets_get_a_float() -> None:
    assert type(socket_timeout(Fraction(3, 2))) is float
    assert socket_timeout(Fraction(3, 2)) == 1.5
    assert socket_timeout(None) is None
