"""The limits of all layers, in their necessary order.

After a change of one limit, these tests name the others that must follow.
"""

import re

from deployed import DEPLOY, compose, environment, gunicorn, nginx, seconds, size
from relay.settings import Settings

SETTINGS = Settings.from_environment(environment())


def test_an_answer_has_its_time_before_gunicorn_and_then_the_container_end_it() -> None:
    settings = gunicorn()
    assert (
        SETTINGS.max_timeout
        < settings["graceful_timeout"]
        < seconds(compose("relay")["stop_grace_period"])
    )
    assert settings["graceful_timeout"] < seconds(compose("nginx")["stop_grace_period"])


def test_a_worker_that_is_replaced_may_finish_its_answers() -> None:
    assert SETTINGS.max_timeout < gunicorn()["timeout"]


def test_gunicorn_follows_the_longest() -> None:
    settings = gunicorn(MAX_TIMEOUT="300")
    assert min(settings["graceful_timeout"], settings["timeout"]) > 300


def test_nginx_waits_longer_than_the_longest_answer() -> None:
    assert SETTINGS.max_timeout < seconds(nginx("proxy_read_timeout"))


def test_nginx_passes_tokens_on_at_once_and_tells_who_has_left() -> None:
    assert nginx("proxy_buffering") == "off"
    assert nginx("proxy_ignore_client_abort") == "off"
    assert nginx("proxy_http_version") == "1.1"


def test_nginx_lets_in_what_the_relay_would_take_and_little_more() -> None:
    assert (
        SETTINGS.max_body_bytes
        <= size(nginx("client_max_body_size"))
        <= 4 * SETTINGS.max_body_bytes
    )


def test_who_says_nothing_is_not_waited_for() -> None:
    assert seconds(nginx("client_header_timeout")) <= 30
    assert seconds(nginx("client_body_timeout")) <= 30


def test_connections_between_the_two_are_closed_by_nginx() -> None:
    assert seconds(nginx("keepalive_timeout")) < gunicorn()["keepalive"]


def test_the_container_hands_the_signal_to_gunicorn_and_is_not_root() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^STOPSIGNAL SIGTERM$", dockerfile, re.MULTILINE)
    assert re.search(r'^CMD \["gunicorn", ', dockerfile, re.MULTILINE)
    assert re.search(r"^USER (?!root|0)", dockerfile, re.MULTILINE)
