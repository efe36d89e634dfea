"""The settings of a server, for the command line and for YAML files."""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from fake_vllm.engine.timing import FORMS, TimingError, timing
from fake_vllm.scenarios import ScenarioError, parse


class SettingsError(ValueError):
    """Raised when a setting is unknown or wrong; the text says where."""


def _scenario(text: str) -> str:
    try:
        parse(text)
    except ScenarioError as error:
        raise ValueError(str(error)) from None
    return text


def _timing(text: str) -> str:
    try:
        timing(text)
    except TimingError as error:
        raise ValueError(str(error)) from None
    return text


Scenario = Annotated[str, AfterValidator(_scenario)]
Timing = Annotated[str, AfterValidator(_timing)]
Count = Annotated[int, Field(ge=1)]


class Rule(BaseModel):
    """Requests that get another scenario, unless they name one; all conditions must match."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scenario: Scenario
    path: str | None = Field(None, description="The request's path, e.g. /v1/chat/completions.")
    stream: bool | None = Field(None, description="Whether the answer is streamed.")
    prompt: str | None = Field(None, description="Words that the body contains.")


class Settings(BaseModel):
    """The server's behaviour where a request does not set it; vLLM's flags keep their names."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
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
    workers: int = Field(1, ge=1, description="Must be 1: workers would not share the ledger.")

    served_model_name: str = Field("fake-model", description="The one model's name.")
    max_model_len: int = Field(32_768, ge=16, description="Context length in tokens.")
    max_num_seqs: Count = Field(256, description="Sequences that run at once; the others wait.")
    max_num_queued_reqs: int | None = Field(
        None, ge=0, description="Sequences that may run or wait; more are a 503."
    )
    max_num_queued_tokens: int | None = Field(
        None, ge=0, description="Prompt tokens that may wait for their first token; more are a 503."
    )
    api_key: str | None = Field(None, description="Demand this key (or from FAKE_VLLM_API_KEY).")
    enable_auto_tool_choice: bool = Field(
        False, description="Let requests use tools; needs --tool-call-parser."
    )
    tool_call_parser: Literal["hermes"] | None = Field(
        None, description="How the model writes its tool calls."
    )
    enable_request_id_headers: bool = Field(False, description="Send the header x-request-id.")
    enable_prompt_tokens_details: bool = Field(False, description="Show cached tokens in `usage`.")
    sse_keep_alive_interval: float = Field(
        0.0,
        ge=0,
        description="Seconds of silence in a stream after which a comment is sent; 0: never.",
    )

    scenario: Scenario = Field(
        "finite", description="How to behave, e.g. stall:after=5; see `fake-vllm scenarios`."
    )
    rules: tuple[Rule, ...] = Field(
        (), description="Other scenarios for some requests; the first matching rule counts."
    )
    seed: int = Field(
        0, description="Changes all chances and timings; the same seed gives the same run."
    )
    text: Path | None = Field(
        None, description="Let the model say the text in this file, instead of made-up words."
    )
    phrase: str | None = Field(None, description="Let the model repeat this phrase endlessly.")
    headers_ms: Timing = Field("0", description="Milliseconds before the response headers.")
    first_token_ms: Timing = Field(
        "0", description="Milliseconds between the slot and the first token."
    )
    prefill_ms_per_token: float = Field(
        0.0, ge=0, description="Further milliseconds for each token of the prompt."
    )
    gap_ms: Timing = Field("10", description=f"Milliseconds between two tokens: {FORMS}.")
    on_disconnect: Literal["abort", "keep"] = Field(
        "abort", description="When the client disconnects: abort as vLLM does, or keep generating."
    )

    lifetime: float | None = Field(
        None, ge=0.1, description="End after this many seconds, whatever happens."
    )
    watch_stdin: bool = Field(False, description="End when standard input closes.")
    loop: Literal["auto", "asyncio", "uvloop"] = Field(
        "auto", description="Event loop; auto: uvloop where it is installed."
    )
    request_seconds: float = Field(
        30.0, gt=0, description="Seconds within which a request must be complete."
    )
    max_body_mb: float = Field(
        64.0, gt=0, description="The largest body, in MiB; a larger one is refused."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.workers != 1:
            raise ValueError(
                "workers: must be 1, since workers would not share the ledger; start several "
                "servers on several ports instead"
            )
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
        return self

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
            near = get_close_matches(str(name), Settings.model_fields, n=3)
            hint = (
                f"Did you mean {' or '.join(near)}?"
                if near
                else f"There are: {', '.join(Settings.model_fields)}."
            )
            raise SettingsError(f"There is no setting {where.format(name)}. {hint}")
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        text = first["msg"].removeprefix("Value error, ").rstrip(".")
        place = ".".join(map(str, first["loc"]))
        name = where.format(place.replace("_", "-") if where.startswith("--") else place)
        hint = "" if text.endswith("?") else "."
        raise SettingsError(f"{name}: {text}{hint}" if place else f"{text}{hint}") from None
