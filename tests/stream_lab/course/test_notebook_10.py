"""The checkers of notebook 10: right answers of several kinds, and natural mistakes."""

from typing import Any

import pytest

from stream_lab.processes import MissingPart
from stream_lab.processes.programs import find
from tests.stream_lab.course.answers import is_right, is_wrong, solution

try:
    find("nginx")
    HAS_NGINX = True
except MissingPart:
    HAS_NGINX = False
needs_nginx = pytest.mark.skipif(not HAS_NGINX, reason="nginx is not installed")


@needs_nginx
@pytest.mark.parametrize(
    "answer",
    [
        solution("10", "location"),
        ["gzip off;", "proxy_read_timeout 5s;"],
        "proxy_read_timeout 1m;\n# a comment\nproxy_buffering off;",
    ],
)
def test_each_way_to_let_the_stream_pass_is_right(answer: Any) -> None:
    is_right("10.1", answer)


@needs_nginx
@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("proxy_buffering off;", "in the pause"),
        ("proxy_buffering off; proxy_send_timeout 300s;", "another direction"),
        ("proxy_read_timeout 300s;", "at once"),
        ("proxy_buffering off; proxy_read_timeout 300s", "nginx refuses"),
        ("proxy_bufering off; proxy_read_timeout 300s;", "unknown directive"),
        ("location / { proxy_buffering off; proxy_read_timeout 300s; }", "status 404"),
        ({"proxy_buffering": "off"}, "string"),
    ],
)
def test_directives_that_do_not_suffice_are_shown_what_nginx_did(answer: Any, word: str) -> None:
    is_wrong("10.1", word, answer)


RIGHT = solution("10", "headers")


@needs_nginx
@pytest.mark.parametrize(
    "answer",
    [
        RIGHT,
        {name.lower(): text for name, text in RIGHT.items()},
        RIGHT
        | {
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-cache, private",
        },
    ],
)
def test_each_set_of_headers_that_lets_events_pass_is_right(answer: Any) -> None:
    is_right("10.2", answer)


@needs_nginx
@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (RIGHT | {"Content-Length": "64"}, "length"),
        (RIGHT | {"Content-Type": "application/json"}, "application/json"),
        ({"Cache-Control": "no-store", "X-Accel-Buffering": "no"}, "EventSource"),
        ({"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}, "tells nginx not"),
        (RIGHT | {"X-Accel-Buffering": "yes"}, "at once"),
        (RIGHT | {"Cache-Control": "public, max-age=60"}, "cache"),
        (RIGHT | {"Transfer-Encoding": "chunked"}, "belongs to the connection"),
        (RIGHT | {"Content-Length": 64}, "dictionary"),
    ],
)
def test_headers_that_harm_the_stream_are_named(answer: Any, word: str) -> None:
    is_wrong("10.2", word, answer)


LIMITS = solution("10", "limits")


@pytest.mark.parametrize(
    "answer",
    [
        LIMITS,
        {"model": 120, "application": 150.0, "proxy_read_timeout": 300, "comment_every": 25},
        LIMITS | {"application": 270, "comment_every": 1},
    ],
)
def test_each_set_of_limits_with_margins_is_right(answer: Any) -> None:
    is_right("10.3", answer)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (LIMITS | {"comment_every": 59}, "load balancer's limit on silence"),
        (LIMITS | {"comment_every": 30}, "load balancer's limit on silence"),
        (LIMITS | {"proxy_read_timeout": 20}, "proxy_read_timeout"),
        (LIMITS | {"application": 300}, "broken connection"),
        (LIMITS | {"application": 290}, "load balancer's limit"),
        (LIMITS | {"model": 240}, "inner one"),
        (LIMITS | {"model": 235}, "margin"),
        (LIMITS | {"model": 45}, "120 s"),
        (LIMITS | {"model": "180s"}, "number of seconds"),
        ({"model": 180, "application": 240}, "proxy_read_timeout"),
        (59, "dictionary"),
    ],
)
def test_limits_that_do_not_agree_are_shown_the_two_that_clash(answer: Any, word: str) -> None:
    is_wrong("10.3", word, answer)
