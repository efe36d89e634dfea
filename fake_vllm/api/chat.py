"""Requests of `/v1/chat/completions`, accepted or refused as by vLLM."""

from typing import Any

from fake_vllm.api import structured
from fake_vllm.api import tools as tooling
from fake_vllm.api.accepted_request import check_model, engine_failure, refusing
from fake_vllm.api.body import Rejected, read
from fake_vllm.api.chat_request import AcceptedChatRequest, ChatRequest
from fake_vllm.api.checks import check_media, check_template
from fake_vllm.api.conversation import conversation
from fake_vllm.api.failed_writer import FailedWriter
from fake_vllm.api.prompts import Prompt, Room, check_ids
from fake_vllm.api.sampling import parameters, sampling
from fake_vllm.api.server_rules import Rules
from fake_vllm.api.template import render
from fake_vllm.api.writer import ResponseWriter
from fake_vllm.model.plan import GenerationPlan


def chat(
    rules: Rules, content_type: str, body: bytes, request_id: str | None
) -> AcceptedChatRequest:
    """Accept a chat.

    Args:
        rules: the server's rules.
        content_type: the header Content-Type. Empty: there is none.
        body: the bytes of the body.
        request_id: the header X-Request-Id. None: there is none.

    Raises:
        Refused: a check failed; status, type and message are vLLM's.
    """
    return accept(rules, read(ChatRequest, content_type, body), request_id)


def accept(rules: Rules, body: ChatRequest, request_id: str | None) -> AcceptedChatRequest:
    """Accept a chat whose body was read.

    Raises:
        Refused: a check failed; status, type and message are vLLM's.
    """
    check_model(body.model, rules)
    accepted: AcceptedChatRequest = refusing(lambda: _accept(rules, body, request_id))
    return accepted


def _accept(rules: Rules, body: ChatRequest, request_id: str | None) -> AcceptedChatRequest:
    if not rules.tool_calls:
        tooling.check_parser(body.tool_choice)
    check_template(body.chat_template, body.chat_template_kwargs)
    check_media(body)
    room = _room(rules, body)
    room.check()
    turns = conversation(body.messages, rules.served_model_name)
    options = dict(body.chat_template_kwargs or {})
    options.setdefault("enable_thinking", body.reasoning_effort != "none")
    text = render(
        turns,
        add_generation_prompt=body.add_generation_prompt,
        continue_final_message=body.continue_final_message,
        options=options,
    )
    given = _given_ids(body)
    prompt = room.prompt(text) if given is None else Prompt(text, given)
    max_tokens = _max_tokens(body)
    made = _parameters(rules, body, prompt, max_tokens)
    conversed = "\n".join(turn["text"] for turn in turns)
    questions = (turn["text"] for turn in reversed(turns) if turn["role"] == "user")
    return AcceptedChatRequest(
        rules=rules,
        id=f"chatcmpl-{body.request_id if request_id is None else request_id}",
        stream=bool(body.stream),
        prompts=[prompt],
        parameters=made,
        sampling=sampling(body, made),
        max_tokens=max_tokens,
        seeds=[f"{body.seed or 0} {conversed}"],
        question=next(questions, ""),
        model=body.model or rules.served_model_name,
        scenario=body.fake_scenario,
        failure=engine_failure(rules, made, [prompt], bool(body.stream)),
        make_writer=_writer,
        body=body,
        turns=turns,
    )


def _writer(request: AcceptedChatRequest, plan: GenerationPlan) -> ResponseWriter:
    if request.failure:
        return FailedWriter(request.error_events(request.failure.body) or [])
    from fake_vllm.api.chat_writer import ChatWriter  # the server starts faster without it

    return ChatWriter(request, plan)


def _max_tokens(body: ChatRequest) -> int | None:
    return body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens


def _given_ids(body: ChatRequest) -> list[int] | None:
    """Return the prompt's ids as another server made them. None: there are none."""
    ids = (body.kv_transfer_params or {}).get("prompt_token_ids")
    if ids is None or body.echo:
        return None
    name = "kv_transfer_params.prompt_token_ids"
    if not isinstance(ids, list) or not ids or any(type(id) is not int or id < 0 for id in ids):
        raise Rejected(
            "`kv_transfer_params['prompt_token_ids']` must be a non-empty list of non-negative "
            "integers.",
            name,
        )
    check_ids(ids, name)
    return ids


def _room(rules: Rules, body: ChatRequest) -> Room:
    name = "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
    return Room(
        rules.max_model_len,
        _max_tokens(body) or 0,
        name,
        body.truncate_prompt_tokens,
        body.truncation_side,
    )


def _parameters(rules: Rules, body: ChatRequest, prompt: Prompt, max_tokens: int | None) -> Any:
    left = rules.max_model_len - len(prompt.ids)
    prompt_logprobs = (
        body.top_logprobs if body.prompt_logprobs is None and body.echo else body.prompt_logprobs
    )
    forced = rules.tool_calls and body.tools and body.tool_choice not in ("none", None)
    constraint = structured.constraint(body.structured_outputs, body.response_format)
    return parameters(
        body,
        max_tokens=left if max_tokens is None else min(left, max_tokens),
        constraint=None if forced and body.tool_choice != "auto" else constraint,
        n=body.n,
        logprobs=body.top_logprobs if body.logprobs and not body.logprob_token_ids else None,
        prompt_logprobs=prompt_logprobs,
    )
