"""The chat that a request of Anthropic's form stands for, as vLLM converts it."""

import json
import time
from typing import Any, TypeAlias

from fake_vllm.api.anthropic_request import (
    AnthropicContentBlock,
    AnthropicCountTokensRequest,
    AnthropicMessage,
    AnthropicMessagesRequest,
    AnthropicThinkingConfigEnabled,
    AnthropicTool,
    AnthropicToolChangeDefinition,
    Content,
)
from fake_vllm.api.chat_request import ChatRequest
from fake_vllm.api.checks import StreamOptions
from fake_vllm.api.structured import JsonSchemaResponseFormat, ResponseFormat
from fake_vllm.api.tools import (
    ChatCompletionNamedFunction,
    ChatCompletionNamedToolChoiceParam,
    ChatCompletionToolsParam,
    FunctionDefinition,
)

BILLING = "x-anthropic-billing-header"
"""The beginning of a text that Claude Code adds, and vLLM leaves out."""
AnyRequest: TypeAlias = AnthropicMessagesRequest | AnthropicCountTokensRequest


def as_chat(request: AnyRequest) -> ChatRequest:
    """Return the chat of a request.

    Raises:
        ValueError: a change of the tools names an unknown one.
    """
    fields = {
        "model": request.model,
        "messages": _messages(request),
        "chat_template_kwargs": request.chat_template_kwargs,
        **(_generation(request) if isinstance(request, AnthropicMessagesRequest) else {}),
    }
    chat = ChatRequest.model_validate(fields)
    # vLLM sets the others later, and so without the chat's checks.
    return chat.model_copy(update={**_output(request), **_tools(request)})


def _generation(request: AnthropicMessagesRequest) -> dict[str, Any]:
    names = "temperature top_p top_k watermarking cache_salt kv_transfer_params ec_transfer_params "
    copied = {name: getattr(request, name) for name in f"{names}vllm_xargs fake_scenario".split()}
    most = request.max_tokens
    fields = {"max_tokens": most, "max_completion_tokens": most, "stop": request.stop_sequences}
    if isinstance(request.thinking, AnthropicThinkingConfigEnabled):
        fields["thinking_token_budget"] = request.thinking.budget_tokens
    return {**fields, **copied}


def _output(request: AnyRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if isinstance(request, AnthropicMessagesRequest) and request.stream:
        # vLLM asks for counts in each event too, but only uses those of the first and the last.
        fields.update(stream=True, stream_options=StreamOptions(include_usage=True))
    config, thinking = request.output_config, request.thinking
    if config and config.format and (schema := config.format.json_schema):
        kind = config.format.type
        form = JsonSchemaResponseFormat(name=kind, schema=schema)
        fields["response_format"] = ResponseFormat(type=kind, json_schema=form)
    if config and config.effort is not None:
        fields["reasoning_effort"] = config.effort
    if thinking is not None and thinking.type == "disabled":
        fields["reasoning_effort"] = "none"
    return fields


# Messages.


def _messages(request: AnyRequest) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if request.system and (text := _instructions(request.system)):
        messages.append({"role": "system", "content": text})
    for message in request.messages:
        if message.role == "system":
            if text := _without_billing(message.content):
                messages.append({"role": "system", "content": text})
        elif isinstance(message.content, str):
            messages.append({"role": message.role, "content": message.content})
        else:
            messages += _converted(message, message.content)
    return messages


def _instructions(system: Content) -> str:
    return system if isinstance(system, str) else _without_billing(system)


def _without_billing(content: Content) -> str:
    texts = (
        [content]
        if isinstance(content, str)
        else [block.text for block in content if block.type == "text" and block.text]
    )
    return "".join(text for text in texts if not text.startswith(BILLING))


def _converted(
    message: AnthropicMessage, blocks: list[AnthropicContentBlock]
) -> list[dict[str, Any]]:
    """Return the messages of a chat for one with blocks; results of tools come first."""
    before: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    thoughts: list[str] = []
    for block in blocks:
        if block.type == "text" and block.text:
            parts.append({"type": "text", "text": block.text})
        elif block.type == "image" and block.source:
            parts.append(_image(block.source))
        elif block.type == "thinking" and block.thinking is not None:
            thoughts.append(block.thinking)
        elif block.type == "tool_use":
            calls.append(_call(block))
        elif block.type == "tool_result" and message.role == "user":
            before += _results(block)
        elif block.type == "tool_result":
            parts.append({"type": "text", "text": f"Tool result: {block.content or ''}"})
    made: dict[str, Any] = {"role": message.role}
    if thoughts:
        made["reasoning"] = "".join(thoughts)
    if calls:
        made["tool_calls"] = calls
    if parts:
        alone = len(parts) == 1 and parts[0]["type"] == "text"
        made["content"] = parts[0]["text"] if alone else parts
    return before if message.role == "user" and not parts else [*before, made]


def _call(block: AnthropicContentBlock) -> dict[str, Any]:
    arguments = json.dumps(block.input or {})
    function = {"name": block.name or "", "arguments": arguments}
    return {"id": block.id or f"call_{int(time.time())}", "type": "function", "function": function}


def _results(block: AnthropicContentBlock) -> list[dict[str, Any]]:
    content = block.content
    items = content if isinstance(content, list) else []
    texts = [str(item.get("text", "")) for item in items if item.get("type") == "text"]
    images = [_image(item.get("source", {})) for item in items if item.get("type") == "image"]
    references = [
        {"type": "tool_reference", "name": name}
        for item in items
        if item.get("type") == "tool_reference"
        and (name := item.get("tool_name") or item.get("name"))
    ]
    result = {"role": "tool", "tool_call_id": block.tool_use_id or ""}
    messages: list[dict[str, Any]] = [
        {**result, "content": content if isinstance(content, str) else "\n".join(texts)}
    ]
    if images:
        messages.append({"role": "user", "content": images})
    if references:
        messages.append({**result, "content": references})
    return messages


def _image(source: dict[str, Any]) -> dict[str, Any]:
    if source.get("type") == "url":
        url = source.get("url", "")
    else:
        kind = source.get("media_type", "image/jpeg")
        url = f"data:{kind};base64,{source.get('data', '')}"
    return {"type": "image_url", "image_url": {"url": url}}


# Tools.


def _tools(request: AnyRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {"tool_choice": None}
    if (chosen := request.tool_choice) is not None:
        fields["parallel_tool_calls"] = not chosen.disable_parallel_tool_use
        name = ChatCompletionNamedFunction(name=chosen.name or "")
        fields["tool_choice"] = {
            "any": "required",
            "tool": ChatCompletionNamedToolChoiceParam(function=name),
        }.get(chosen.type, chosen.type)
    if (tools := _in_effect(request)) is not None:
        fields["tools"] = [_tool(tool) for tool in tools]
        fields["tool_choice"] = fields["tool_choice"] or "auto"
    return fields


def _tool(tool: AnthropicTool) -> ChatCompletionToolsParam:
    function = FunctionDefinition(
        name=tool.name,
        description=tool.description,
        parameters=tool.input_schema,
        strict=tool.strict,
        defer_loading=tool.defer_loading,
    )
    return ChatCompletionToolsParam(function=function)


def _in_effect(request: AnyRequest) -> list[AnthropicTool] | None:
    """Return the tools after the changes that messages make. None: the request has none.

    Raises:
        ValueError: a change names an unknown tool.
    """
    changes = [
        block
        for message in request.messages
        if not isinstance(message.content, str)
        for block in message.content
        if block.type in ("tool_addition", "tool_removal")
    ]
    if not changes:
        return request.tools
    tools = {tool.name: tool for tool in request.tools or []}
    removed: set[str] = set()
    for block in changes:
        change = block.tool
        if isinstance(change, AnthropicToolChangeDefinition):
            name = change.definition.name
            tools[name] = change.definition
        elif change is not None:
            name = change.name
            if name not in tools:
                text = f"{block.type} references tool {name!r}, which is not declared in tools"
                raise ValueError(text)
        (removed.add if block.type == "tool_removal" else removed.discard)(name)
    return [tool for name, tool in tools.items() if name not in removed]
