"""Requests of `/v1/responses`, accepted or refused as by vLLM; no response is stored."""

from collections.abc import Mapping
from types import MappingProxyType

from fake_vllm.api import structured
from fake_vllm.api.accepted_request import check_model, engine_failure, refusing
from fake_vllm.api.body import Rejected, check_query, read
from fake_vllm.api.checks import check_media, check_template
from fake_vllm.api.failed_writer import FailedWriter
from fake_vllm.api.prompts import WHOLE, Room
from fake_vllm.api.refused import Refused
from fake_vllm.api.response_items import turns
from fake_vllm.api.responses_request import (
    AcceptedResponsesRequest,
    ResponseFormatJSONObject,
    ResponseFormatTextJSONSchemaConfig,
    ResponsesRequest,
)
from fake_vllm.api.sampling import parameters, sampling
from fake_vllm.api.server_rules import Rules
from fake_vllm.api.template import render
from fake_vllm.api.writer import ResponseWriter
from fake_vllm.model.plan import GenerationPlan


def response(
    rules: Rules, content_type: str, body: bytes, request_id: str | None
) -> AcceptedResponsesRequest:
    """Accept a response.

    Args:
        rules: the server's rules.
        content_type: the header Content-Type. Empty: there is none.
        body: the bytes of the body.
        request_id: the header X-Request-Id, which has no effect; the id is a field of the body.

    Raises:
        Refused: a check failed; status, type and message are vLLM's.
    """
    request = read(ResponsesRequest, content_type, body)
    check_model(request.model, rules)
    accepted: AcceptedResponsesRequest = refusing(lambda: _accept(rules, request))
    return accepted


def unknown_response(id: str, query: Mapping[str, str] = MappingProxyType({})) -> Refused:
    """Return the refusal of a response id, since no response is stored.

    Args:
        id: the id of the response.
        query: the query string of the request; a wrong value in it is refused first.
    """
    for name, kind in (("starting_after", int | None), ("stream", bool | None)):
        if name in query:
            check_query(kind, name, query[name])
    return Refused(
        404, "invalid_request_error", f"Response with id '{id}' not found.", "response_id"
    )


def _accept(rules: Rules, body: ResponsesRequest) -> AcceptedResponsesRequest:
    if body.store and body.background:
        text = (
            "This vLLM engine does not support `store=True` and therefore does not support the "
            "background mode. To enable these "
            "features, set the environment variable `VLLM_ENABLE_RESPONSES_API_STORE=1` when "
            "launching the vLLM server."
        )
        raise Refused(400, "invalid_request_error", text, "background")
    if body.previous_input_messages and body.previous_response_id:
        text = "Only one of `previous_input_messages` and `previous_response_id` can be set."
        raise Refused(400, "invalid_request_error", text, "previous_response_id")
    check_template(None, body.chat_template_kwargs)
    if body.previous_response_id is not None:
        raise unknown_response(body.previous_response_id)
    check_media(body)
    keep = None if body.truncation == "disabled" else WHOLE
    room = Room(rules.max_model_len, body.max_output_tokens or 0, "max_output_tokens", keep)
    room.check()
    conversation = turns(body.instructions, body.input, rules.served_model_name)
    options = dict(body.chat_template_kwargs or {})
    effort = body.reasoning.effort if body.reasoning else None
    options.setdefault("enable_thinking", effort != "none")
    prompt = room.prompt(render(conversation, options=options))
    left = rules.max_model_len - len(prompt.ids)
    if left <= 0:
        text = (
            f"The engine prompt length {len(prompt.ids)} exceeds the max_model_len "
            f"{rules.max_model_len}. Please reduce prompt."
        )
        raise Refused(400, "invalid_request_error", text, "input")
    max_tokens = body.max_output_tokens
    made = parameters(
        body,
        max_tokens=left if max_tokens is None else min(left, max_tokens),
        constraint=_constraint(body),
        logprobs=body.top_logprobs
        if "message.output_text.logprobs" in (body.include or ())
        else None,
    )
    conversed = "\n".join(turn["text"] for turn in conversation)
    return AcceptedResponsesRequest(
        rules=rules,
        id=body.request_id,
        stream=bool(body.stream),
        prompts=[prompt],
        parameters=made,
        sampling=sampling(body, made),
        max_tokens=max_tokens,
        seeds=[f"{body.seed or 0} {conversed}"],
        question=next(
            (turn["text"] for turn in reversed(conversation) if turn["role"] == "user"), ""
        ),
        model=body.model or rules.served_model_name,
        scenario=body.fake_scenario,
        failure=engine_failure(rules, made, [prompt], bool(body.stream)),
        make_writer=_writer,
        body=body,
        turns=conversation,
    )


def _writer(request: AcceptedResponsesRequest, plan: GenerationPlan) -> ResponseWriter:
    from fake_vllm.api.responses_writer import ResponsesWriter  # most servers only ever chat

    writer = ResponsesWriter(request, plan)
    # The stream begins, and is cut.
    return FailedWriter(writer.begin()) if request.failure else writer


def _constraint(body: ResponsesRequest) -> structured.StructuredOutputsParams | None:
    format = body.text.format if body.text else None
    if format is None:
        return body.structured_outputs
    if body.structured_outputs is not None:
        raise Rejected(
            "Cannot specify both structured_outputs and text.format", "structured_outputs"
        )
    if isinstance(format, ResponseFormatJSONObject):
        return structured.StructuredOutputsParams(json_object=True)
    if isinstance(format, ResponseFormatTextJSONSchemaConfig):
        return structured.StructuredOutputsParams(json=format.schema_)
    return None
