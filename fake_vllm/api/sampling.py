"""The sampling parameters of a request: vLLM's checks in its order, and the model's settings."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import BeforeValidator, ConfigDict
from pydantic.dataclasses import dataclass as checked_dataclass

from fake_vllm.api import structured
from fake_vllm.api.body import Rejected
from fake_vllm.model import tokenizer
from fake_vllm.model.sampling import Repetition, Sampling, banned_by, forced_by
from fake_vllm.model.vocabulary import SIZE

INT64 = 2**63
MOST_LOGPROBS = 20
MOST_STOPS = 4
_MOST_SEQUENCES, _MOST_BAD_WORDS, _MOST_NAMED_IDS = 16_384, 128, 128
_GREEDY = 1e-5
_DECLARED: dict[type, frozenset[str]] = {}


@checked_dataclass(config=ConfigDict(defer_build=True))
class RepetitionDetectionParams:
    """vLLM's `repetition_detection`; its name and fields show in error texts."""

    max_pattern_size: int = 0
    min_pattern_size: int = 0
    min_count: int = 0

    def __post_init__(self) -> None:
        if (
            self.max_pattern_size < 0
            or self.min_pattern_size < 0
            or self.min_pattern_size > self.max_pattern_size
        ):
            text = (
                "max_pattern_size, min_pattern_size must be >=0, with min_pattern_size <= "
                "max_pattern_size."
            )
            raise Rejected(f"{text} Set both to 0 to disable repetitive pattern detection.")
        if self.max_pattern_size > 0 and self.min_count < 2:
            text = "min_count must be >= 2 to detect repetitive patterns in engine output."
            raise Rejected(
                f"{text} If you do not wish to detect repetitive patterns, set max_pattern_size to "
                "0."
            )


def _thinking_budget(value: Any) -> Any:
    if value is None or (type(value) is int and value == -1):
        return None
    if type(value) is not int or value < 0:
        text = "`thinking_token_budget` must be a non-negative integer or -1 for unlimited."
        raise Rejected(text, "thinking_token_budget", value)
    return value


ThinkingTokenBudget = Annotated[int | None, BeforeValidator(_thinking_budget)]


class Fields(Protocol):
    """The sampling fields that all kinds of requests have."""

    presence_penalty: float | None
    frequency_penalty: float | None
    repetition_penalty: float | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    stop: Any
    stop_token_ids: list[int] | None
    logit_bias: dict[str, float] | None
    include_stop_str_in_output: bool
    ignore_eos: bool
    skip_special_tokens: bool


@dataclass(frozen=True)
class Parameters:
    """The checked parameters of one request.

    Attributes:
        max_tokens: the most tokens, cut to the rest of the context.
        n: the number of choices.
        logprobs: how many of the likeliest tokens to list at each place. None: no list.
        prompt_logprobs: the same for the prompt.
        logprob_token_ids: tokens to list instead.
        constraint: the structured output. None: free text.
        bias: pairs of a token id and its bias.
        stops: the stop strings.
        stop_ids: the stop token ids.
        bad_words: words that must not appear.
        allowed: the only tokens that may be drawn. None: every token.
        min_tokens: the number of tokens before which nothing ends the text.
        thinking_budget: the most tokens of reasoning. None: no limit.
        repetition: the repetition that ends the text. None: it is not looked for.
        routed_experts_start: the field `routed_experts_prompt_start`.
    """

    max_tokens: int
    n: int = 1
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    logprob_token_ids: tuple[int, ...] = ()
    constraint: structured.StructuredOutputsParams | None = None
    bias: tuple[tuple[int, float], ...] = ()
    stops: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    bad_words: tuple[str, ...] = ()
    allowed: tuple[int, ...] | None = None
    min_tokens: int = 0
    thinking_budget: int | None = None
    repetition: RepetitionDetectionParams | None = None
    routed_experts_start: int = 0


def parameters(
    fields: Fields,
    *,
    max_tokens: int,
    constraint: structured.StructuredOutputsParams | None,
    n: int | None = 1,
    logprobs: int | None = None,
    prompt_logprobs: int | None = None,
) -> Parameters:
    """Check the parameters as vLLM does when it makes its SamplingParams.

    Raises:
        Rejected: a parameter is out of its range.
    """
    bias = _bias(fields.logit_bias or {})
    stop = fields.stop
    made = Parameters(
        max_tokens=max_tokens,
        n=1 if n is None else n,
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
        logprob_token_ids=tuple(_own(fields, "logprob_token_ids") or ()),
        constraint=constraint,
        bias=tuple(bias.items()),
        stops=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        stop_ids=tuple(dict.fromkeys(fields.stop_token_ids or ())),
        bad_words=tuple(dict.fromkeys(_own(fields, "bad_words", ()))),
        allowed=None if (ids := _own(fields, "allowed_token_ids")) is None else tuple(ids),
        min_tokens=_own(fields, "min_tokens", 0),
        thinking_budget=_own(fields, "thinking_token_budget"),
        repetition=_own(fields, "repetition_detection"),
        routed_experts_start=_own(fields, "routed_experts_prompt_start", 0),
    )
    _check_count(made.n)
    # Beam search ignores the sampling parameters.
    if not _own(fields, "use_beam_search", False):
        _check_ranges(fields, made)
    return made


def _own(fields: Any, name: str, usual: Any = None) -> Any:
    """Return a field that this kind of body declares, or else the usual value.

    A client may send an undeclared field of that name, which is ignored as all unknown fields are.
    """
    kind = type(fields)
    if (names := _DECLARED.get(kind)) is None:
        names = _DECLARED[kind] = frozenset(kind.model_fields)  # made anew for each look
    return getattr(fields, name) if name in names else usual


def _check_count(n: int) -> None:
    if n < 1:
        raise Rejected(f"n must be at least 1, got {n}.")
    if n > _MOST_SEQUENCES:
        text = f"n must be at most {_MOST_SEQUENCES}, got {n}."
        raise Rejected(
            f"{text} To increase this limit, set the VLLM_MAX_N_SEQUENCES environment variable."
        )


def _bias(raw: dict[str, float]) -> dict[int, float]:
    bias, wrong = {}, []
    for key, value in raw.items():
        try:
            bias[int(key)] = min(100.0, max(-100.0, value))
        except ValueError:
            wrong.append(key)
    if wrong:
        text = (
            f"logit_bias contains key(s) that cannot be converted to integer token IDs: {wrong!r}"
        )
        raise Rejected(text, "logit_bias", wrong)
    return bias


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _check_ranges(fields: Fields, made: Parameters) -> None:
    _check_extra(_own(fields, "vllm_xargs"))
    for name in ("presence_penalty", "frequency_penalty"):
        if not -2.0 <= (penalty := _or(_own(fields, name), 0.0)) <= 2.0:
            raise Rejected(f"{name} must be in [-2, 2], got {penalty}.")
    repetition_penalty = _or(fields.repetition_penalty, 1.0)
    if not math.isfinite(repetition_penalty):
        raise Rejected(f"repetition_penalty must be a finite number, got {repetition_penalty}.")
    if repetition_penalty <= 0.0:
        raise Rejected(f"repetition_penalty must be greater than zero, got {repetition_penalty}.")
    temperature, top_p, top_k, min_p = (
        _or(fields.temperature, 1.0),
        _or(fields.top_p, 1.0),
        _or(fields.top_k, 0),
        _or(fields.min_p, 0.0),
    )
    if not math.isfinite(temperature):
        raise Rejected(
            f"temperature must be a finite number, got {temperature}.", "temperature", temperature
        )
    if temperature < 0.0:
        raise Rejected(
            f"temperature must be non-negative, got {temperature}.", "temperature", temperature
        )
    if temperature > 2.0:
        raise Rejected(
            f"temperature must be in [0, 2], got {temperature}.", "temperature", temperature
        )
    if not 0.0 < top_p <= 1.0:
        raise Rejected(f"top_p must be in (0, 1], got {top_p}.", "top_p", top_p)
    if top_k < -1:
        raise Rejected(f"top_k must be 0 (disable), or at least 1, got {top_k}.")
    if not 0.0 <= min_p <= 1.0:
        raise Rejected(f"min_p must be in [0, 1], got {min_p}.")
    if made.max_tokens < 1:
        raise Rejected(
            f"max_tokens must be at least 1, got {made.max_tokens}.", "max_tokens", made.max_tokens
        )
    if made.min_tokens < 0:
        raise Rejected(f"min_tokens must be greater than or equal to 0, got {made.min_tokens}.")
    if made.min_tokens > made.max_tokens:
        raise Rejected(
            f"min_tokens must be less than or equal to max_tokens={made.max_tokens}, got "
            f"{made.min_tokens}."
        )
    for name in ("logprobs", "prompt_logprobs"):
        value = getattr(made, name)
        if value is not None and value < -1:
            raise Rejected(f"{name} must be non-negative or -1, got {value}.", name, value)
    if not all(made.stops):
        raise Rejected("stop cannot contain an empty string.")
    if not all(made.bad_words):
        raise Rejected(
            f"bad_words cannot contain an empty string. Got bad_words={list(made.bad_words)}"
        )
    if temperature < _GREEDY and made.n > 1:
        raise Rejected(f"n must be 1 when using greedy sampling, got {made.n}.")


def _check_extra(extra: Any) -> None:
    pending = [extra]
    while pending:
        value = pending.pop()
        if isinstance(value, int) and not -INT64 <= value < 2 * INT64:
            raise Rejected(
                "extra_args integers must be between -2**63 and 2**64 - 1.", "extra_args"
            )
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value


def check_engine(made: Parameters, *, reasons: bool) -> None:
    """Make the checks of vLLM's engine, which come too late for a stream's error status.

    Raises:
        Rejected: a token is unknown, too many log-probabilities are wanted, or a constraint is
            invalid.
    """
    _check_logprobs("sample", "logprobs", made.logprobs)
    if len(made.logprob_token_ids) > _MOST_NAMED_IDS:
        count = len(made.logprob_token_ids)
        text = (
            f"Requested logprob_token_ids of length {count}, which is greater than max allowed: "
            f"{_MOST_NAMED_IDS}"
        )
        raise Rejected(text, "logprob_token_ids", count)
    _check_vocabulary("logprob_token_ids", made.logprob_token_ids)
    _check_logprobs("prompt", "prompt_logprobs", made.prompt_logprobs)
    _check_vocabulary("logit_bias", [id for id, _ in made.bias])
    _check_vocabulary("stop_token_ids", made.stop_ids)
    if made.allowed is not None:
        if not made.allowed:
            raise Rejected("allowed_token_ids is not None and empty!", "allowed_token_ids", [])
        if outside := _outside(made.allowed):
            raise Rejected(
                "allowed_token_ids contains out-of-vocab token id!", "allowed_token_ids", outside
            )
    structured.check_constraint(made.constraint)
    if made.thinking_budget is not None and not reasons:
        text = "thinking_token_budget is set but reasoning_config is not configured."
        raise Rejected(
            f"{text} Please set --reasoning-parser and/or --reasoning-config to use "
            "thinking_token_budget."
        )


def check_with_prompt(made: Parameters, prompt_tokens: int) -> None:
    """Make those checks of the engine that depend on the prompt."""
    if made.routed_experts_start > prompt_tokens:
        text = (
            "routed_experts_prompt_start must be between 0 and the prompt length "
            f"({prompt_tokens}), inclusive."
        )
        raise Rejected(text, "routed_experts_prompt_start", made.routed_experts_start)
    _bad_word_ids(made.bad_words)


def _check_logprobs(what: str, name: str, value: int | None) -> None:
    wanted = SIZE if value == -1 else (value or 0)
    if wanted > MOST_LOGPROBS:
        raise Rejected(
            f"Requested {what} logprobs of {wanted}, which is greater than max allowed: "
            f"{MOST_LOGPROBS}",
            name,
            wanted,
        )


def _outside(ids: Any) -> list[int]:
    return [id for id in ids if not 0 <= id < SIZE]


def _check_vocabulary(name: str, ids: Any) -> None:
    if outside := _outside(ids):
        raise Rejected(
            f"token_id(s) {outside} in {name} contain out-of-vocab token ids. Vocabulary size: "
            f"{SIZE}",
            name,
            outside,
        )


def _bad_word_ids(words: tuple[str, ...]) -> list[tuple[int, ...]]:
    banned: list[tuple[int, ...]] = []
    for word in words:
        ids = tuple(tokenizer.encode(word.lstrip()))
        if not ids:
            raise Rejected(
                "bad_words entries must tokenize to at least one token.", "bad_words", list(words)
            )
        banned.append(ids)
        spaced = tuple(tokenizer.encode(f" {word.lstrip()}"))
        if spaced[0] != ids[0] and len(spaced) == len(ids):
            banned.append(spaced)
        if len(banned) > _MOST_BAD_WORDS:
            text = (
                f"Too many bad words after tokenization: {len(banned)}. The max number is "
                f"{_MOST_BAD_WORDS}."
            )
            raise Rejected(text, "bad_words", list(words))
    return banned


def sampling(fields: Fields, made: Parameters) -> Sampling:
    """Return what the parameters mean to the model."""
    repetition = made.repetition
    return Sampling(
        stops=made.stops,
        stop_ids=frozenset(made.stop_ids),
        include_stop=fields.include_stop_str_in_output,
        ignore_eos=fields.ignore_eos,
        min_tokens=made.min_tokens,
        skip_special=fields.skip_special_tokens,
        forced=forced_by(made.bias),
        banned=(*banned_by(made.bias), *_bad_word_ids(made.bad_words)),
        allowed=made.allowed,
        repetition=Repetition(
            repetition.min_pattern_size, repetition.max_pattern_size, repetition.min_count
        )
        if repetition is not None and repetition.max_pattern_size > 0
        else None,
    )
