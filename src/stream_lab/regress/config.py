"""Read and check `regress.yaml`, and report a mistake with its line and key."""

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from stream_lab.bounded_yaml import NotYaml
from stream_lab.errors import LabError
from stream_lab.experiment.endpoint import KEY_VARIABLE
from stream_lab.http.address import NotAnAddress, parts_of, quotable
from stream_lab.notebooks.task import Server, one_at_a_time
from stream_lab.regress.scalars import as_text, as_value, read_words
from stream_lab.untrusted import one_line

SECRET = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LARGEST = 1_000_000  # bytes of the file
LONGEST = 1_000  # characters of a text or a value
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
PATHS = ("folder", "outputs", "history", "requirements", "on_top", "python")


PARTS = ("endpoints", "worlds", "limits")
"""Keys whose parts are models, each of which reads its own words."""
RULES = ("include", "exclude")
NAMED = ("endpoint", "world", "notebook")
"""Axes of a rule whose values are names, and never numbers."""
TEXTS = (str, str | None, list[str])
"""The types of places for text, where nothing is read as a number."""


class ConfigError(LabError):
    """Raised when a run cannot be planned; the text says where and what to do."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _read_words(cls, value: object, info: ValidationInfo) -> object:
        """Read the file's plain words by the kind of place that they stand in."""
        name = str(info.field_name)
        if name in PARTS:
            return value
        if name in RULES:
            return _rules(value)
        is_text = cls.model_fields[name].annotation in TEXTS
        return as_text(value) if is_text else as_value(value)

    @field_validator("*")
    @classmethod
    def _bound(cls, value: object, info: ValidationInfo) -> object:
        """Refuse a text that is too long, and a path that no file can have."""
        name = str(info.field_name)
        if cls.model_fields[name].annotation in TEXTS:
            for text in value if isinstance(value, list) else [value]:
                _check_length(text)
                if name in PATHS and CONTROL.search(str(text)):
                    raise ValueError("a path has no control character")
        return value


class EndpointSpec(_Strict):
    """A server to run against; without any field, each notebook starts the bundled fake.

    Attributes:
        scenario: The scenario of a fake-vllm that is started for each notebook.
        options: Flags of that fake, as `on_disconnect: keep`.
        url: The address of a running server; ends in /v1.
        model: The model to ask for; None: the only one that the server has.
        api_key_env: The name of the variable that holds the server's key.
        jobs: Notebooks at a time, of any endpoint, while this server is called; None: 1 with `url`,
            since neighbours bend timings, and no limit otherwise.
    """

    scenario: str | None = None
    options: dict[str, str | int | float | bool] = {}
    url: str | None = None
    model: str | None = None
    api_key_env: str = KEY_VARIABLE
    jobs: int | None = Field(default=None, ge=1, le=64)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.url is not None and (self.scenario is not None or self.options):
            raise ValueError("give either `url`, or `scenario` and `options` of a fake, not both")
        if self.options and self.scenario is None:
            raise ValueError("`options` are those of a fake; name its `scenario`, too")
        if self.model is not None and self.url is None:
            raise ValueError("`model` names one of the server's at `url`")
        if self.url is not None:
            try:
                parts = parts_of(self.url)
            except NotAnAddress:
                shown = quotable(self.url)
                raise ValueError(f"'{shown}' should look like http://host:8000/v1") from None
            if parts.username or parts.password or parts.query:
                raise ValueError(
                    "an address must not hold a password or a query; name the key's variable with "
                    "api_key_env"
                )
        return self

    @property
    def limit(self) -> int | None:
        """How many notebooks may run while the server is called; None: no limit."""
        return self.jobs if self.jobs is not None or self.url is None else 1

    def server(self, model: str | None, key_variables: tuple[str, ...]) -> Server:
        """Return the server for a task.

        Args:
            model: The model to ask for; None: the notebook chooses.
            key_variables: Those of every endpoint.
        """
        return Server(
            self.url,
            model,
            self.api_key_env,
            self.limit,
            self.scenario,
            dict(self.options),
            key_variables,
        )

    @property
    def words(self) -> str:
        """What it is, for people."""
        if self.url is not None:
            return f"a server at {self.url}"
        flags = "".join(f", {name} {value}" for name, value in self.options.items())
        return (
            "the bundled fake"
            if self.scenario is None
            else f"a fake playing {self.scenario}{flags}"
        )


class WorldSpec(_Strict):
    """An environment to run in; without any field, the one of this process.

    Attributes:
        python: The version, as "3.12"; None: this process's.
        requirements: A file of pinned packages.
        on_top: Packages, or paths of wheels, that replace those of the file. A package that is not
            pinned with == is resolved anew each day.
    """

    python: str | None = None
    requirements: str | None = None
    on_top: list[str] = []

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.requirements is None and (self.python is not None or self.on_top):
            raise ValueError("a world of its own needs `requirements`, a file of pinned packages")
        return self


def _rules(value: object) -> object:
    if not isinstance(value, list):
        return value
    return [
        {axis: as_text(part) if axis in NAMED else as_value(part) for axis, part in rule.items()}
        if isinstance(rule, dict)
        else rule
        for rule in value
    ]


def _check_length(value: object) -> None:
    if isinstance(value, str) and len(value) > LONGEST:
        raise ValueError(f"a text has more than {LONGEST:,} characters; write a shorter one")


def _many(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(
            f"'{name}' cannot be a name: letters, digits, dots, hyphens and underscores only, "
            "at most 100"
        )
    return name


Name = Annotated[str, AfterValidator(_name)]
Value = str | int | float | bool | None
Rule = dict[str, Annotated[list[Value], BeforeValidator(_many)]]


class Limits(_Strict):
    """Limits in time.

    Attributes:
        cell: Seconds that one cell may take.
        notebook: Seconds that a whole notebook may take.
        slow: A notebook that takes this many times the baseline's seconds, and at least five
            seconds more, gets a warning.
    """

    cell: float = Field(default=60.0, gt=0)
    notebook: float = Field(default=300.0, gt=0)
    slow: float = Field(default=1.5, gt=1)


class Config(_Strict):
    """The whole of `regress.yaml`.

    Paths start from the file's own folder. `outputs` may be any fsspec URL.
    """

    endpoints: dict[Name, EndpointSpec] = {"bundled": EndpointSpec()}
    worlds: dict[Name, WorldSpec] = {"here": WorldSpec()}
    folder: str = "notebooks"
    notebooks: Annotated[list[str], BeforeValidator(_many)] = ["*"]
    parameters: dict[str, Annotated[list[Value], BeforeValidator(_many)]] = {}
    include: list[Rule] = []
    exclude: list[Rule] = []
    limits: Limits = Limits()
    retries: int = Field(default=1, ge=0, le=3)
    jobs: int = Field(default=2, ge=1, le=64)
    outputs: str = "runs/regress"
    history: str = "runs/history.sqlite"

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, body: Any) -> Any:
        """Read `bundled:` with nothing after it as the bundled fake."""
        if isinstance(body, dict):
            for axis in ("endpoints", "worlds"):
                if isinstance(body.get(axis), dict):
                    body[axis] = {
                        name: {} if spec is None else spec for name, spec in body[axis].items()
                    }
        return body

    @model_validator(mode="after")
    def _no_secrets(self) -> Self:
        if not self.endpoints or not self.worlds or not self.notebooks:
            raise ValueError("there must be at least one endpoint, one world and one notebook")
        for name, values in self.parameters.items():
            if SECRET.search(name) and not name.lower().endswith("_env"):
                raise ValueError(
                    f"the parameter {name} looks like a secret, and papermill writes parameters "
                    "into what it makes; "
                    "put it into the environment and name its variable with api_key_env"
                )
            if name == "BASE_URL":
                raise ValueError("BASE_URL is not a parameter here; add the server under endpoints")
            if not values:
                raise ValueError(f"the parameter {name} has no value")
            for value in values:
                _check_length(value)
        for rule in (*self.include, *self.exclude):
            for axis, patterns in rule.items():
                if not patterns:
                    raise ValueError(f"a rule names no {axis}; name one, or leave it out")
                for pattern in patterns:
                    _check_length(pattern)
        return self

    @property
    def key_variables(self) -> tuple[str, ...]:
        """The names of the variables that hold keys, of every endpoint."""
        return tuple(dict.fromkeys(spec.api_key_env for spec in self.endpoints.values()))

    def notes(self) -> list[str]:
        """Return notes on `jobs`, if it is set and a server allows less."""
        if "jobs" not in self.model_fields_set or self.jobs == 1:
            return []
        return [
            f"{name}: the server gets {one_at_a_time(self.jobs)}; `jobs` of the endpoint allows more."
            for name, spec in self.endpoints.items()
            if spec.url is not None and spec.jobs is None
        ]


def load(path: Path) -> Config:
    """Load the configuration from a YAML file.

    Raises:
        ConfigError: The file cannot be read, is not YAML, or has a wrong value; with line and key.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        text = data.decode()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}; name a configuration with --config."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8; save it in that encoding.") from None
    if len(data) > LARGEST:
        raise ConfigError(
            f"{path} has more than {LARGEST:,} bytes; name a configuration with --config."
        )
    try:
        node, body = read_words(text)
    except NotYaml as error:
        at = f"{path}, line {error.line}" if error.line else str(path)
        raise ConfigError(f"{at}: {error}.") from None
    for key, line in _twice(node):
        raise ConfigError(f"{path}, line {line}: '{one_line(key)}' stands here a second time.")
    try:
        return Config.model_validate(body if body is not None else {})
    except ValidationError as error:
        first = error.errors()[0]
        where = [str(part) for part in first["loc"] if part not in ("[key]",)]
        line, known = _locate(node, where)
        line = getattr(first.get("ctx", {}).get("error"), "line", line)
        place = one_line(".".join(known)) or "the whole"
        raise ConfigError(f"{path}, line {line}: {place}: {_problem(first, where)}.") from None


def _problem(error: Any, where: list[str]) -> str:
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(where[-1], _keys(), n=1)
        return "there is no such key" + (f"; do you mean {near[0]}?" if near else "")
    return one_line(str(error["msg"]).removeprefix("Value error, "), 500)


def _keys() -> list[str]:
    return [
        *Config.model_fields,
        *EndpointSpec.model_fields,
        *WorldSpec.model_fields,
        *Limits.model_fields,
    ]


def _locate(node: yaml.Node | None, where: list[str]) -> tuple[int, list[str]]:
    """Return the line of a key, and the part of its path in the file.

    pydantic's paths go on into types.
    """
    line, known = 1, []
    for part in where:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        else:
            break
        known.append(part)
    return line, known


def _twice(node: yaml.Node | None) -> Iterator[tuple[str, int]]:
    """Yield keys that a mapping has twice; YAML forbids them, PyYAML silently takes the last."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield key.value, key.start_mark.line + 1
            seen.add(key.value)
            yield from _twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _twice(value)
