"""The settings from the environment, read once when the server starts."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

FIRST_CHUNK_TIMEOUT: Final = 30.0
IDLE_TIMEOUT: Final = 15.0


class SettingsError(SystemExit):
    """Raised when a variable is missing or wrong.

    Left alone, it ends the process with one sentence and status 1.
    """


@dataclass(frozen=True)
class Settings:
    """The settings of the server, with seconds as float.

    The environment variables have the names of the fields, in capitals.

    Attributes:
        base_url: the vLLM's address, for example http://gpu:8000/v1.
        model: the name of its model.
        openai_api_key: its key. None: it requires none.
        max_timeout: the most seconds that one answer may take. Every other limit, here and in
            deploy/, follows from it.
        first_chunk_timeout: seconds until the model has said something. None: 30, or `max_timeout`
            if that is shorter.
        idle_timeout: seconds between two tokens. None: 15, or `max_timeout` if that is shorter.
        max_tokens: the model's own bound, which holds even if all clocks fail.
        max_body_bytes: the most bytes of a request.
        allowed_hosts: the names by which clients may call this server, besides localhost and
            addresses; in the environment with commas between them. `*`: any name.
    """

    base_url: str
    model: str
    openai_api_key: str | None = field(default=None, repr=False)
    max_timeout: float = 60.0
    first_chunk_timeout: float | None = None
    idle_timeout: float | None = None
    max_tokens: int = 2048
    max_body_bytes: int = 65536
    allowed_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            SettingsError: values are wrong; the text names all of them.
        """
        for name, usual in (
            ("first_chunk_timeout", FIRST_CHUNK_TIMEOUT),
            ("idle_timeout", IDLE_TIMEOUT),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, min(usual, self.max_timeout))
        wrong = []
        if not self.base_url.startswith(("http://", "https://")):
            wrong.append(
                f"BASE_URL is '{self.base_url}', but must be an address such as http://gpu:8000/v1"
            )
        if not self.model:
            wrong.append("MODEL must be the name under which the server serves the model")
        for name in (
            "max_timeout",
            "first_chunk_timeout",
            "idle_timeout",
            "max_tokens",
            "max_body_bytes",
        ):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                wrong.append(f"{name.upper()} must be a positive number")
        for name in ("first_chunk_timeout", "idle_timeout"):
            if getattr(self, name) > self.max_timeout:
                wrong.append(
                    f"{name.upper()} is longer than MAX_TIMEOUT, so that it could never act"
                )
        for host in self.allowed_hosts:
            if not re.fullmatch(r"\*|[\w.-]+", host):
                wrong.append(
                    f"ALLOWED_HOSTS has '{host}', but must be names such as relay.example, without "
                    "scheme, port and path"
                )
        if wrong:
            raise SettingsError(f"relay: {'; '.join(wrong)}.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings.

        Raises:
            SettingsError: a variable is missing or wrong.
        """
        given = {
            name: environment[name.upper()]
            for name in cls.__dataclass_fields__
            if environment.get(name.upper())
        }
        missing = [name.upper() for name in ("base_url", "model") if name not in given]
        if missing:
            raise SettingsError(
                f"relay: {' and '.join(missing)} must be set, "
                "as BASE_URL=http://gpu:8000/v1 MODEL=my-model python -m relay."
            )
        numbers: dict[str, float] = {}
        for name in (
            "max_timeout",
            "first_chunk_timeout",
            "idle_timeout",
            "max_tokens",
            "max_body_bytes",
        ):
            if name in given:
                try:
                    numbers[name] = (int if name in ("max_tokens", "max_body_bytes") else float)(
                        given[name]
                    )
                except ValueError:
                    raise SettingsError(
                        f"relay: {name.upper()} is '{given[name]}', but must be a number."
                    ) from None
        return cls(
            base_url=given["base_url"],
            model=given["model"],
            openai_api_key=given.get("openai_api_key"),
            allowed_hosts=tuple(given.get("allowed_hosts", "").replace(",", " ").split()),
            **numbers,  # type: ignore[arg-type]
        )
