"""The exercises of notebook 14 accept right answers, and name the mistake of wrong ones."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from stream_lab.course.exercise import Examined, examine, find
from stream_lab.doctor.atlas import Stream, stack, who_fires_first

PRODUCT = stack(
    "browsers, Chromium",
    "AWS ALB",
    "nginx",
    "gunicorn, uvicorn worker",
    "stream-deadline",
    "LangChain, astream",
    "vLLM",
).with_settings({"nginx, proxy_read_timeout": 30})
STREAMS = {
    "healthy": Stream(first=2, pause=40, total=100),
    "stalled": Stream(first=2, pause=900, total=1000),
    "silent": Stream(first=900, total=1000),
    "endless": Stream(first=2, pause=1),
}
ALB, NGINX = "AWS ALB, idle_timeout.timeout_seconds", "nginx, proxy_read_timeout"
OWN, CHUNK = "stream-deadline, timeout", "LangChain, ChatOpenAI stream_chunk_timeout"
RIGHT = {OWN: 110, NGINX: 130, ALB: 140}


def examined(number: str, answer: object, *context: Any) -> Examined:
    return asyncio.run(examine(find("14", number), answer, context))


def limits(answer: object) -> Examined:
    return examined("1", answer, PRODUCT, STREAMS, who_fires_first)


@pytest.mark.parametrize(
    "answer",
    [
        RIGHT,
        {**RIGHT, CHUNK: 300, OWN: 200, NGINX: 300, ALB: 600},
        {OWN: 100.5, NGINX: None, ALB: None, CHUNK: None},
        {OWN: 101, NGINX: 101.5, ALB: 4000},
    ],
)
def test_limits_that_leave_the_end_to_the_deadline_are_right(answer: object) -> None:
    assert limits(answer) == Examined(right=True)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({}, "the healthy stream"),
        ({NGINX: 60}, "Nothing sets stream-deadline, timeout"),
        ({OWN: 45, NGINX: 60}, "ends the healthy stream after 45 s"),
        ({OWN: 110}, "nginx, proxy_read_timeout (30 s, silence) ends the healthy stream"),
        ({OWN: 110, NGINX: 60}, "nginx, proxy_read_timeout (60 s"),
        ({OWN: 110, NGINX: 130}, "AWS ALB"),
        ({OWN: 200, NGINX: 300, ALB: 300}, CHUNK),
        ({OWN: 110, NGINX: 110, ALB: 140}, "fires together"),
        ({NGINX: None, ALB: None, CHUNK: None}, "No limit ends the"),
        ({"proxy_read_timeout": 130, OWN: 110}, "did you mean 'nginx, proxy_read_timeout'"),
        ({"gunicorn, --timeout, uvicorn worker": 130, OWN: 110}, "cannot be set"),
        ({**RIGHT, OWN: "110"}, "number of seconds"),
        ({**RIGHT, OWN: -1}, "above zero"),
        ([(OWN, 110)], "a dict"),
        (110, "a dict"),
    ],
)
def test_limits_that_are_wrong_are_named(answer: object, words: str) -> None:
    found = limits(answer)
    assert not found.right
    assert words in found.message


KNOBS = {"a": "nginx, proxy_read_timeout", "b": "Heroku, rolling window", "c": CHUNK}


@pytest.mark.parametrize(
    "answer",
    [
        KNOBS,
        {"a": "proxy_read_timeout", "b": "rolling window", "c": "stream_chunk_timeout"},
        {"a": "NGINX proxy_read_timeout", "b": "Heroku rolling window ", "c": CHUNK.split(", ")[1]},
        {**KNOBS, "c": "LangChain, stream_chunk_timeout"},
    ],
)
def test_the_names_of_knobs_are_right_with_and_without_their_products(answer: object) -> None:
    assert examined("2", answer) == Examined(right=True)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"a": "nginx, proxy_connect_timeout"}, "had connected"),
        ({"a": "nginx, send_timeout"}, "does not read"),
        ({"a": "nginx, proxy_send_timeout"}, "had sent the request"),
        ({"a": "timeout"}, "the product and its knob"),
        ({"a": "nginx"}, "the product and its knob"),
        ({"b": "Heroku, initial window"}, "H15"),
        ({"b": "AWS ALB, idle_timeout.timeout_seconds"}, "In b: it is another knob"),
        ({"b": "window"}, "In b"),
        ({"c": "LangChain, ChatOpenAI timeout"}, "the class of the error"),
        ({"c": 120}, "in quotes"),
        ({"c": None}, "no answer for c"),
        ({"c": ...}, "no answer for c"),
    ],
)
def test_a_wrong_knob_is_named_with_its_line(changed: Mapping[str, object], words: str) -> None:
    found = examined("2", {**KNOBS, **changed})
    assert not found.right
    assert words in found.message


def test_an_answer_that_is_not_a_dict_is_named() -> None:
    assert "a dict" in examined("2", ["proxy_read_timeout"]).message
