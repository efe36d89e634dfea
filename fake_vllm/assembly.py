"""The parts of a server, made from its settings."""

import time
from collections.abc import Callable

from fake_vllm.api import Rules
from fake_vllm.api.release import RELEASES
from fake_vllm.behaviour import Behaviour, text_source
from fake_vllm.engine.ledger import Ledger
from fake_vllm.engine.metrics import Metrics
from fake_vllm.engine.pacer import Pacer
from fake_vllm.engine.slots import Engine
from fake_vllm.engine.timing import Pace, timing
from fake_vllm.http.exchange import Exchange, Headers
from fake_vllm.response.context import ServerContext
from fake_vllm.scenarios import ScenarioError
from fake_vllm.settings import Settings, SettingsError


def behaviour(settings: Settings) -> Behaviour:
    """Return what the server plays.

    Raises:
        SettingsError: a scenario or a rule needs the fake's own model, and another server answers.
    """
    try:
        return Behaviour(settings.scenario, settings.rules, has_model=not settings.relays)
    except ScenarioError as error:
        raise SettingsError(str(error)) from None


def server_rules(settings: Settings) -> Rules:
    """Return what requests are checked against."""
    return Rules(
        served_model_name=settings.model,
        aliases=settings.served_model_name[1:],
        reasoning=settings.reasoning_parser,
        release=RELEASES[settings.vllm_version],
        force_usage=settings.enable_force_include_usage,
        max_model_len=settings.max_model_len,
        tool_calls=settings.tool_calls,
        prompt_tokens_details=settings.enable_prompt_tokens_details,
        started=int(time.time()),
    )


def server_context(
    settings: Settings,
    ledger: Ledger,
    metrics: Metrics,
    extra_headers: Callable[[Exchange], Headers],
) -> ServerContext:
    """Return the parts that all responses share.

    Raises:
        SettingsError: the file with the text cannot be read.
    """
    return ServerContext(
        engine=Engine(
            ledger,
            metrics,
            slots=settings.max_num_seqs,
            max_requests=settings.max_num_queued_reqs,
            max_tokens=settings.max_num_queued_tokens,
        ),
        ledger=ledger,
        pacer=Pacer(),
        pace=Pace(
            headers=timing(settings.headers_ms),
            first_token=timing(settings.first_token_ms),
            gap=timing(settings.gap_ms),
            prefill=settings.prefill_ms_per_token / 1000,
            keep_alive=settings.sse_keep_alive_interval,
        ),
        keep_generating=settings.on_disconnect == "keep",
        extra_headers=extra_headers,
        source=text_source(settings.text, settings.phrase),
    )
