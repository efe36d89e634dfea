"""The items of a response's `input`, and the conversation that they make.

OpenAI has about fifty kinds of items. Those without text are accepted here by their `type` alone,
so the list of faults of an unknown item is shorter than vLLM's.
"""

from typing import Any, Literal, Required, TypeAlias

from typing_extensions import TypedDict

from fake_vllm.api.body import Rejected
from fake_vllm.api.conversation import Turn

Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]


class ResponseInputTextParam(TypedDict, total=False):
    text: Required[str]
    type: Required[Literal["input_text"]]


class ResponseInputImageParam(TypedDict, total=False):
    detail: Required[Literal["low", "high", "auto", "original"]]
    type: Required[Literal["input_image"]]
    file_id: str | None
    image_url: str | None


class ResponseInputFileParam(TypedDict, total=False):
    type: Required[Literal["input_file"]]
    file_data: str
    file_id: str | None
    file_url: str
    filename: str


Part: TypeAlias = ResponseInputTextParam | ResponseInputImageParam | ResponseInputFileParam


class EasyInputMessageParam(TypedDict, total=False):
    content: Required[str | list[Part]]
    role: Required[Literal["user", "assistant", "system", "developer"]]
    phase: Literal["commentary", "final_answer"] | None
    type: Literal["message"]


class Message(TypedDict, total=False):  # errors show the names of these classes
    content: Required[list[Part]]
    role: Required[Literal["user", "system", "developer"]]
    status: Status
    type: Literal["message"]


class ResponseOutputTextParam(TypedDict, total=False):
    text: Required[str]
    type: Required[Literal["output_text"]]


class ResponseOutputMessageParam(TypedDict, total=False):
    content: Required[list[ResponseOutputTextParam]]
    role: Required[Literal["assistant"]]
    id: str
    status: Status
    type: Required[Literal["message"]]
    phase: Literal["commentary", "final_answer"] | None


class ResponseFunctionToolCallParam(TypedDict, total=False):
    arguments: Required[str]
    call_id: Required[str]
    name: Required[str]
    type: Required[Literal["function_call"]]
    id: str
    status: Status


class FunctionCallOutput(TypedDict, total=False):
    output: Required[str | list[Any]]
    type: Required[Literal["function_call_output", "custom_tool_call_output"]]
    id: str | None
    call_id: str | None
    status: Status | None


class ResponseReasoningItemParam(TypedDict, total=False):
    summary: Required[list[Any]]
    type: Required[Literal["reasoning"]]
    id: str
    content: list[Any] | None
    encrypted_content: str | None
    status: Status | None


class OtherItem(TypedDict, total=False):
    type: Required[
        Literal[
            "additional_tools",
            "apply_patch_call",
            "apply_patch_call_output",
            "code_interpreter_call",
            "compaction",
            "computer_call",
            "computer_call_output",
            "custom_tool_call",
            "file_search_call",
            "image_generation_call",
            "item_reference",
            "local_shell_call",
            "local_shell_call_output",
            "mcp_approval_request",
            "mcp_approval_response",
            "mcp_call",
            "mcp_list_tools",
            "shell_call",
            "shell_call_output",
            "web_search_call",
        ]
    ]


Item: TypeAlias = (
    EasyInputMessageParam
    | Message
    | ResponseOutputMessageParam
    | ResponseFunctionToolCallParam
    | FunctionCallOutput
    | ResponseReasoningItemParam
    | OtherItem
)


def turns(instructions: str | None, given: str | list[Any], model: str) -> list[Turn]:
    """Return the conversation in order, with the instructions first, as the system's.

    Raises:
        Rejected: an item has content that this model does not read.
    """
    conversation = [Turn(role="system", text=instructions)] if instructions else []
    if isinstance(given, str):
        return [*conversation, Turn(role="user", text=given)]
    for item in given:
        match item.get("type", "message"):
            case "message":
                conversation.append(Turn(role=item["role"], text=_text(item["content"], model)))
            case "function_call_output" | "custom_tool_call_output":
                output = item["output"]
                conversation.append(
                    Turn(
                        role="tool",
                        text=output if isinstance(output, str) else _text(output, model),
                    )
                )
            case "reasoning" if item.get("encrypted_content"):
                raise Rejected("Encrypted content is not supported.", "input")
            case "function_call" | "reasoning" | "custom_tool_call":
                if not conversation or conversation[-1]["role"] != "assistant":
                    conversation.append(Turn(role="assistant", text=""))
            case other:
                raise Rejected(f"Unsupported input item type: {other}", "input")
    return conversation


def _text(content: Any, model: str) -> str:
    if isinstance(content, str):
        return content
    for part in content:
        if part.get("type") in ("input_image", "input_file"):
            raise ValueError(f"{model} is not a multimodal model")
    return "\n".join(str(part.get("text", "")) for part in content)
