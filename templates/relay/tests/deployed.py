"""What the files in deploy/ say."""

import os
import re
import runpy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

DEPLOY = Path(__file__).parents[1] / "deploy"


def compose(service: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))[
        "services"
    ][service]
    return found


def environment() -> dict[str, str]:
    """What the container of the relay is started with."""
    said = {name: str(value) for name, value in compose("relay")["environment"].items()}
    given = {"BASE_URL": "http://gpu:8000/v1", "MODEL": "my-model", "ALLOWED_HOSTS": ""}
    assert all(said[name].startswith(f"${{{name}:") for name in given)
    return {**said, **given}


def gunicorn(**more: str) -> dict[str, Any]:
    """Return gunicorn's settings in that container, with further variables."""
    with patch.dict(os.environ, {**environment(), **more}, clear=True):
        return runpy.run_path(str(DEPLOY / "gunicorn.conf.py"))


def nginx(directive: str) -> str:
    """The value of a directive that stands in the file once."""
    text = re.sub(r"#.*", "", (DEPLOY / "nginx.conf").read_text(encoding="utf-8"))
    (value,) = re.findall(rf"^\s*{directive}\s+([^;]+);", text, re.MULTILINE)
    return str(value)


def seconds(value: str) -> float:
    """Of nginx and compose: 90s, 2m."""
    number, unit = re.fullmatch(r"(\d+)(s|m)", value).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "m": 60}[unit]


def size(value: str) -> int:
    """Bytes, of nginx: 64k, 1m."""
    number, unit = re.fullmatch(r"(\d+)(k|m)", value).groups()  # type: ignore[union-attr]
    return int(number) * {"k": 1024, "m": 1024**2}[unit]
