"""Requests of `/v1/completions`, accepted or refused as by vLLM."""

from typing import Any

from fake_vllm.api import structured
from fake_vllm.api.accepted_request import check_model, engine_failure, refusing
from fake_vllm.api.body import Rejected, read
from fake_vllm.api.completions_request import (
    MAX_TOKENS,
    AcceptedCompletionRequest,
    CompletionRequest,
)
from fake_vllm.api.failed_writer import FailedWriter
from fake_vllm.api.prompts import Prompt, Room
from fake_vllm.api.refused import Refused
from fake_vllm.api.sampling import parameters, sampling
from fake_vllm.api.server_rules import Rules
from fake_vllm.api.writer import ResponseWriter
from fake_vllm.model.plan import GenerationPlan


def completion(
    rules: Rules, content_type: str, body: bytes, request_id: str | None
) -> AcceptedCompletionRequest:
    """Accept a completion.

    Args:
        rules: the server's rules.
        content_type: the header Content-Type. Empty: there is none.
        body: the bytes of the body.
        request_id: the header X-Request-Id. None: there is none.

    Raises:
        Refused: a check failed; status, type and message are vLLM's.
    """
    request = read(CompletionRequest, content_type, body)
    if request.stream and request.use_beam_search:
        refusing(_no_beams)
    check_model(request.model, rules)
    accepted: AcceptedCompletionRequest = refusing(lambda: _accept(rules, request, request_id))
    return accepted


def _no_beams() -> None:
    raise Rejected("Streaming is not currently supported with beam search")


def _accept(
    rules: Rules, body: CompletionRequest, request_id: str | None
) -> AcceptedCompletionRequest:
    _check_suffix(body)
    if body.prompt_embeds is not None:
        _refuse_embeds(body)
    room = Room(
        rules.max_model_len,
        body.max_tokens or 0,
        "max_tokens",
        body.truncate_prompt_tokens,
        body.truncation_side,
    )
    room.check()
    prompts = _prompts(room, body.prompt)
    left = min(rules.max_model_len - len(prompt.ids) for prompt in prompts)
    max_tokens = MAX_TOKENS if body.max_tokens is None else body.max_tokens
    made = parameters(
        body,
        max_tokens=1 if body.echo and max_tokens == 0 else min(left, max_tokens),
        constraint=structured.constraint(body.structured_outputs, body.response_format),
        n=body.n,
        logprobs=None if body.logprob_token_ids else body.logprobs,
        prompt_logprobs=body.logprobs
        if body.prompt_logprobs is None and body.echo
        else body.prompt_logprobs,
    )
    return AcceptedCompletionRequest(
        rules=rules,
        id=f"cmpl-{body.request_id if request_id is None else request_id}",
        stream=bool(body.stream),
        prompts=prompts,
        parameters=made,
        sampling=sampling(body, made),
        max_tokens=max_tokens,
        seeds=[f"{body.seed or 0} {prompt.text}" for prompt in prompts],
        question=prompts[0].text,
        model=body.model or rules.served_model_name,
        turns=(),
        scenario=body.fake_scenario,
        failure=engine_failure(rules, made, prompts, bool(body.stream)),
        make_writer=_writer,
        body=body,
    )


def _writer(request: AcceptedCompletionRequest, plan: GenerationPlan) -> ResponseWriter:
    if request.failure:
        return FailedWriter(request.error_events(request.failure.body) or [])
    from fake_vllm.api.completions_writer import CompletionWriter  # most servers only ever chat

    return CompletionWriter(request, plan)


def _refuse_embeds(body: CompletionRequest) -> None:
    if body.echo:
        raise Rejected("Echo is unsupported with prompt embeds.")
    if body.prompt_logprobs is not None:
        raise Rejected("prompt_logprobs is not compatible with prompt embeds.")
    raise Rejected(
        "You must set `--enable-prompt-embeds` to input `prompt_embeds`.", "prompt_embeds"
    )


def _check_suffix(body: CompletionRequest) -> None:
    if body.suffix is None:
        return
    if body.echo:
        text = "Echo is unsupported with suffix."
    elif body.prompt_embeds is not None:
        text = "suffix is not supported with prompt_embeds"
    elif body.truncate_prompt_tokens is not None:
        text = "suffix is not supported with truncate_prompt_tokens"
    elif isinstance(body.prompt, str) or (
        isinstance(body.prompt, list) and all(isinstance(one, str) for one in body.prompt)
    ):
        text = "suffix is only supported for models with FIM completion rendering"
    else:
        text = "suffix requires text prompt input for FIM completion rendering"
    raise Refused(400, "BadRequestError", text, "suffix")


def _prompts(room: Room, prompt: Any) -> list[Prompt]:
    if isinstance(prompt, str):
        return [room.prompt(prompt)]
    if not prompt:
        raise ValueError("You must pass at least one prompt")
    if isinstance(prompt[0], int):
        return [room.of_ids(prompt)]
    return [room.prompt(one) if isinstance(one, str) else room.of_ids(one) for one in prompt]
