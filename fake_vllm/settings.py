"""The settings of a server, for the command line and for YAML files."""

import json
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from fake_vllm.engine.timing import FORMS, TimingError, timing
from fake_vllm.relay.address import Address
from fake_vllm.rules import Rule, ScenarioText
from fake_vllm.scenarios.base import GivenText
from fake_vllm.terminal import MOST_SAID, printable, shortened

USUAL_LENGTH = 32_768
LENGTH = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kKmMgGtT])")


class SettingsError(ValueError):
    """Raised when a setting is unknown or wrong; the text says where."""


def _timing(text: str) -> str:
    try:
        timing(text)
    except TimingError as error:
        raise ValueError(str(error)) from None
    return text


def _listed(value: object, info: ValidationInfo) -> object:
    """Return a list from one text, several, or a JSON list."""
    given = value if isinstance(value, list | tuple) else [value]
    listed: list[object] = []
    for one in given:
        if isinstance(one, str) and one.startswith("["):
            try:
                listed += json.loads(one)
            except ValueError:
                shown = "the key" if info.field_name == "api_key" else f"'{one}'"
                raise ValueError(f"{shown} is not a JSON list") from None
        else:
            listed.append(one)
    return listed


def _length(value: object) -> object:
    """Return a length as vLLM reads it: 32k is 32000, 32K is 32768.

    `auto` is the default here; vLLM's is what fits into the memory of a GPU.
    """
    if value in ("auto", "-1", -1):
        return USUAL_LENGTH
    match = LENGTH.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return value
    number, unit = match.groups()
    power = "kmgt".index(unit.lower()) + 1
    if unit.isupper():
        if "." in number:
            raise ValueError(f"'{value}' has a fraction; write {number}{unit.lower()}")
        return int(number) * 1024**power
    return int(float(number) * 1000**power)


def _all_given(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not all(text.strip() for text in texts):
        raise ValueError("a text is empty; write one, or leave it out")
    return texts


def _folders(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"'{folder}' is not a folder")
    return folders


Names = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_all_given)]
Folders = Annotated[tuple[Path, ...], BeforeValidator(_listed), AfterValidator(_folders)]
Timing = Annotated[str, AfterValidator(_timing)]
Count = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """The server's behaviour where a request does not set it; vLLM's flags keep their names."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    host: Names = Field(
        ("127.0.0.1",), min_length=1, description="Addresses to listen on, e.g. ::1 or localhost."
    )
    port: int = Field(8000, ge=0, le=65535, description="Port; 0 picks a free one and prints it.")
    uds: Path | None = Field(None, description="Listen on this Unix socket instead.")
    ssl_certfile: Path | None = Field(None, description="Speak TLS with this certificate (PEM).")
    ssl_keyfile: Path | None = Field(
        None, description="Its key, if the certificate's file does not contain it."
    )
    tls_self_signed: bool = Field(
        False,
        description="Speak TLS with a new certificate for 127.0.0.1 and localhost.",
    )
    tls_ca: Path | None = Field(
        None,
        description="With --tls-self-signed: write the certificate to trust to this file (PEM).",
    )

    served_model_name: Names = Field(
        ("fake-model",),
        min_length=1,
        description="The model's names; answers have the first.",
    )
    max_model_len: Annotated[int, BeforeValidator(_length)] = Field(
        USUAL_LENGTH, ge=16, description="Context length in tokens; 32k is 32000, 32K is 32768."
    )
    max_num_seqs: Count = Field(256, description="Sequences that run at once; the others wait.")
    max_num_queued_reqs: int | None = Field(
        None, ge=0, description="Sequences that may run or wait; more are a 503."
    )
    max_num_queued_tokens: int | None = Field(
        None, ge=0, description="Prompt tokens that may wait for their first token; more are a 503."
    )
    api_key: Names = Field(
        (),
        repr=False,
        description="Demand one of these keys (or from FAKE_VLLM_API_KEY or VLLM_API_KEY).",
    )
    admin_key: GivenText | None = Field(
        None,
        repr=False,
        description="Demand this key for the fake's own routes, such as /ledger, in place of "
        "--api-key (or from FAKE_VLLM_ADMIN_KEY).",
    )
    allowed_host: Names = Field(
        (), description="Further host names for which the fake's own routes answer."
    )
    reasoning_parser: Literal["qwen3", "deepseek_r1"] | None = Field(
        None, description="Let the model think, and tell its thoughts apart from its answers."
    )
    allowed_origins: Names = Field(
        (), description="Origins whose pages in a browser may use the server; '[\"*\"]': all."
    )
    root_path: str | None = Field(
        None, description="A path that requests may have before all others, e.g. /base."
    )
    disable_fastapi_docs: bool = Field(
        False, description="Have no /openapi.json, /docs and /redoc."
    )
    enable_auto_tool_choice: bool = Field(
        False, description="Let requests use tools; needs --tool-call-parser."
    )
    tool_call_parser: Literal["hermes"] | None = Field(
        None, description="How the model writes its tool calls."
    )
    enable_force_include_usage: bool = Field(
        False, description="Send token counts in every stream, asked for or not."
    )
    enable_request_id_headers: bool = Field(False, description="Send the header x-request-id.")
    enable_prompt_tokens_details: bool = Field(False, description="Show cached tokens in `usage`.")
    sse_keep_alive_interval: float = Field(
        0.0,
        ge=0,
        description="Seconds of silence in a stream after which a comment is sent; 0: never.",
    )

    vllm_version: Literal["0.32.0", "0.33.0"] = Field(
        "0.32.0", description="The version of vLLM whose answers are copied."
    )
    scenario: ScenarioText = Field(
        "finite", description="How to behave, e.g. stall:after=5; see `fake-vllm scenarios`."
    )
    rules: tuple[Rule, ...] = Field(
        (),
        description="Other scenarios or answers for some requests, as JSON on the command line; "
        "the first rule that matches counts.",
    )
    seed: int = Field(
        0, description="Changes all chances and timings; the same seed gives the same run."
    )
    text: Path | None = Field(
        None, description="Let the model say the text in this file, instead of made-up words."
    )
    phrase: GivenText | None = Field(
        None, description="Let the model repeat this phrase endlessly."
    )
    headers_ms: Timing = Field("0", description="Milliseconds before the response headers.")
    first_token_ms: Timing = Field(
        "0", description="Milliseconds between the slot and the first token."
    )
    prefill_ms_per_token: float = Field(
        0.0, ge=0, description="Further milliseconds for each token of the prompt."
    )
    gap_ms: Timing = Field("10", description=f"Milliseconds between two tokens: {FORMS}.")
    files: Folders = Field(
        (),
        description="Folders with files that a request may name, as replay:file=FILE; without "
        "them, only the flags and the configuration may.",
    )
    on_disconnect: Literal["abort", "keep"] = Field(
        "abort", description="When the client disconnects: abort as vLLM does, or keep generating."
    )

    startup: float = Field(
        0.0, ge=0, description="Seconds until the server is ready, as while a model is loaded."
    )
    startup_answer: Literal["refuse", "503"] = Field(
        "refuse",
        description="What a client gets until then: refused connections, as from vLLM, or a 503, "
        "as from a gateway before it.",
    )
    upstream: str | None = Field(
        None,
        description="Let this OpenAI-compatible server answer, and play the scenario in front of "
        "it, e.g. http://127.0.0.1:8000.",
    )
    record: Path | None = Field(
        None, description="With --upstream: write each exchange into this folder, without keys."
    )
    replay: Path | None = Field(
        None, description="Answer with the recordings in this folder, by method, path and body."
    )
    lifetime: float | None = Field(
        None, ge=0.1, description="End after this many seconds, whatever happens."
    )
    watch_stdin: bool = Field(False, description="End when standard input closes.")
    loop: Literal["auto", "asyncio", "uvloop"] = Field(
        "auto", description="Event loop; auto: uvloop where it is installed."
    )
    keep_alive_seconds: float = Field(
        5.0,
        ge=0,
        description="Seconds after which an idle connection is closed (or from "
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE).",
    )
    access_log: Path | None = Field(
        None, description="Log each answer to this file, as uvicorn does; - is standard error."
    )
    request_seconds: float = Field(
        30.0, gt=0, description="Seconds within which a request must be complete."
    )
    max_body_mb: float = Field(
        64.0, gt=0, description="The largest body, in MiB; a larger one is refused."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("--ssl-keyfile needs --ssl-certfile")
        if self.tls_self_signed and self.ssl_certfile is not None:
            raise ValueError("--tls-self-signed and --ssl-certfile exclude each other")
        if self.tls_ca is not None and not self.tls_self_signed:
            raise ValueError("--tls-ca needs --tls-self-signed")
        if self.enable_auto_tool_choice and self.tool_call_parser is None:
            raise ValueError("--enable-auto-tool-choice needs --tool-call-parser")
        if self.text is not None and self.phrase is not None:
            raise ValueError("--text and --phrase exclude each other")
        self._check_relay()
        return self

    def _check_relay(self) -> None:
        if self.upstream is not None:
            Address.parse(self.upstream)
            if self.replay is not None:
                raise ValueError("--upstream and --replay exclude each other")
        elif self.record is not None:
            raise ValueError("--record needs --upstream")

    @property
    def relays(self) -> bool:
        """Tell whether another server answers, or recordings of one."""
        return self.upstream is not None or self.replay is not None

    @property
    def model(self) -> str:
        """Return the name that answers have."""
        return self.served_model_name[0]

    @property
    def tool_calls(self) -> bool:
        return self.enable_auto_tool_choice and self.tool_call_parser is not None


def make(values: dict[str, Any], where: str = "--{}") -> Settings:
    """Check values of any type.

    Args:
        values: the values, by the names of the settings.
        where: how an error shows a name.

    Raises:
        SettingsError: a value is wrong; the text is one sentence about the first.
    """
    for name in values:
        if name not in Settings.model_fields:
            near = get_close_matches(shortened(str(name)), Settings.model_fields, n=3)
            hint = (
                f"Did you mean {' or '.join(near)}?"
                if near
                else f"There are: {', '.join(Settings.model_fields)}."
            )
            shown = shortened(printable(where.format(name)))
            raise SettingsError(f"There is no setting {shown}. {hint}")
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        text = shortened(first["msg"].removeprefix("Value error, "), MOST_SAID).rstrip(".")
        place = ".".join(map(str, first["loc"]))
        flag = place.replace("_", "-") if where.startswith("--") else place
        name = shortened(printable(where.format(flag)))
        hint = "" if text.endswith("?") else "."
        raise SettingsError(f"{name}: {text}{hint}" if place else f"{text}{hint}") from None
    except UnicodeEncodeError:  # of YAML's "\ud800", in the text of an error
        raise SettingsError(
            "A text has half of a surrogate pair; write the whole character."
        ) from None
