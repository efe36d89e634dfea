"""The limits of all layers, in their necessary order.

After a change of one limit, these tests name the others that must follow.
"""

import re

from deployed import DEPLOY, compose, environment, gunicorn, nginx, seconds, size
from relay.settings import Settings

SETTINGS = Settings.from_environment(environment())


def test_the_limits_of_gunicorn_and_the_container_are_longer_than_an_answer() -> None:
    settings = gunicorn()
    assert (
        SETTINGS.max_timeout
        < settings["graceful_timeout"]
        < seconds(compose("relay")["stop_grace_period"])
    )
    assert settings["graceful_timeout"] < seconds(compose("nginx")["stop_grace_period"])


def test_a_worker_that_is_replaced_may_finish_its_answers() -> None:
    assert SETTINGS.max_timeout < gunicorn()["timeout"]


def test_gunicorn_follows_the_maximum() -> None:
    settings = gunicorn(MAX_TIMEOUT="300")
    assert min(settings["graceful_timeout"], settings["timeout"]) > 300


def test_nginx_waits_longer_than_the_longest_answer() -> None:
    assert SETTINGS.max_timeout < seconds(nginx("proxy_read_timeout"))


def test_nginx_passes_tokens_on_at_once_and_passes_disconnects_on() -> None:
    assert nginx("proxy_buffering") == "off"
    assert nginx("proxy_ignore_client_abort") == "off"
    assert nginx("proxy_http_version") == "1.1"


def test_nginx_accepts_bodies_up_to_the_limit_of_the_relay() -> None:
    assert (
        SETTINGS.max_body_bytes
        <= size(nginx("client_max_body_size"))
        <= 4 * SETTINGS.max_body_bytes
    )


def test_silent_clients_are_disconnected() -> None:
    assert seconds(nginx("client_header_timeout")) <= 30
    assert seconds(nginx("client_body_timeout")) <= 30


def test_nginx_closes_idle_connections_to_the_relay() -> None:
    assert seconds(nginx("keepalive_timeout")) < gunicorn()["keepalive"]


def test_the_container_passes_the_signal_to_gunicorn_and_is_not_root() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^STOPSIGNAL SIGTERM$", dockerfile, re.MULTILINE)
    assert re.search(r'^CMD \["gunicorn", ', dockerfile, re.MULTILINE)
    assert re.search(r"^USER (?!root|0)", dockerfile, re.MULTILINE)
