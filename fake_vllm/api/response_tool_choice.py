"""How a request of `/v1/responses` chooses a tool, as OpenAI's API describes it.

vLLM 0.32 follows the words and the names of functions and custom tools; it ignores the others.
"""

from typing import Literal, TypeAlias

from fake_vllm.api.response_tools import Part


class ToolChoiceAllowed(Part):
    mode: Literal["auto", "required"]
    tools: list[dict[str, object]]
    type: Literal["allowed_tools"]


class ToolChoiceTypes(Part):
    type: Literal[
        "file_search",
        "web_search_preview",
        "computer",
        "computer_use_preview",
        "computer_use",
        "web_search_preview_2025_03_11",
        "image_generation",
        "code_interpreter",
    ]


class ToolChoiceFunction(Part):
    name: str
    type: Literal["function"]


class ToolChoiceMcp(Part):
    server_label: str
    type: Literal["mcp"]
    name: str | None = None


class ToolChoiceCustom(Part):
    name: str
    type: Literal["custom"]


class ToolChoiceSpecificProgrammaticToolCallingParam(Part):
    type: Literal["programmatic_tool_calling"]


class ToolChoiceApplyPatch(Part):
    type: Literal["apply_patch"]


class ToolChoiceShell(Part):
    type: Literal["shell"]


ToolChoice: TypeAlias = (
    Literal["none", "auto", "required"]
    | ToolChoiceAllowed
    | ToolChoiceTypes
    | ToolChoiceFunction
    | ToolChoiceMcp
    | ToolChoiceCustom
    | ToolChoiceSpecificProgrammaticToolCallingParam
    | ToolChoiceApplyPatch
    | ToolChoiceShell
)
