"""A server that cannot work does not start, and says why in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from relay.settings import Settings, SettingsError

ROOT = Path(__file__).parents[1]
GOOD = {"BASE_URL": "http://gpu:8000/v1", "MODEL": "my-model"}
BAD = [
    ({"MODEL": "m"}, "BASE_URL must be set"),
    ({}, "BASE_URL and MODEL must be set"),
    ({**GOOD, "BASE_URL": "gpu:8000"}, "BASE_URL is 'gpu:8000'"),
    ({**GOOD, "MAX_TIMEOUT": "a minute"}, "MAX_TIMEOUT is 'a minute'"),
    ({**GOOD, "ALLOWED_HOSTS": "a.example, http://b"}, "ALLOWED_HOSTS has 'http://b', but"),
    ({**GOOD, "ALLOWED_HOSTS": "a.example:8080"}, "without scheme, port and path"),
    ({**GOOD, "MAX_TIMEOUT": "0"}, "MAX_TIMEOUT must be a positive number"),
    ({**GOOD, "MAX_TIMEOUT": "inf"}, "MAX_TIMEOUT must be a positive number"),
    (
        {**GOOD, "MAX_TIMEOUT": "20", "IDLE_TIMEOUT": "30"},
        "IDLE_TIMEOUT is longer than MAX_TIMEOUT",
    ),
]


def test_settings_come_from_the_environment_and_have_defaults() -> None:
    settings = Settings.from_environment(
        {
            **GOOD,
            "MAX_TIMEOUT": "20",
            "MAX_BODY_BYTES": "1000",
            "OPENAI_API_KEY": "secret",
            "ALLOWED_HOSTS": "relay.example,relay",
        }
    )
    assert settings.allowed_hosts == ("relay.example", "relay")
    assert Settings.from_environment({**GOOD, "ALLOWED_HOSTS": ""}).allowed_hosts == ()
    assert (settings.max_timeout, settings.first_chunk_timeout, settings.idle_timeout) == (
        20.0,
        20.0,
        15.0,
    )
    assert (settings.max_body_bytes, settings.openai_api_key) == (1000, "secret")
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(("environment", "words"), BAD)
def test_an_invalid_setting_is_named(environment: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings.from_environment(environment)


@pytest.mark.parametrize(
    "command",
    [["-m", "relay"], ["-m", "gunicorn", "-c", "deploy/gunicorn.conf.py"]],
    ids=["python", "gunicorn"],
)
def test_both_ways_to_start_it_end_with_one_line_and_a_status(command: list[str]) -> None:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("BASE_URL", "MODEL")
    }
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.startswith("relay: BASE_URL and MODEL must be set")
    assert len(done.stderr.splitlines()) == 1
