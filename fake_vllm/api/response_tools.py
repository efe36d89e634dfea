"""The tools of `/v1/responses`, as OpenAI's API describes them.

vLLM 0.32 accepts all of them, and lets the model call functions, custom tools and namespaces.
"""

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    """A part of the body that the answer repeats, with unknown fields."""

    model_config = ConfigDict(extra="allow", defer_build=True, protected_namespaces=())


Connector: TypeAlias = Literal[
    "connector_dropbox",
    "connector_gmail",
    "connector_googlecalendar",
    "connector_googledrive",
    "connector_microsoftteams",
    "connector_outlookcalendar",
    "connector_outlookemail",
    "connector_sharepoint",
]


class FunctionTool(Part):
    name: str
    parameters: dict[str, object] | None = None
    strict: bool | None = None
    type: Literal["function"]
    allowed_callers: list[Literal["direct", "programmatic"]] | None = None
    async_: bool | None = Field(alias="async", default=None)
    defer_loading: bool | None = None
    description: str | None = None
    output_schema: dict[str, object] | None = None


class ComparisonFilter(Part):
    key: str
    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    value: str | float | bool | list[str | float]


class CompoundFilter(Part):
    filters: list[ComparisonFilter | object]
    type: Literal["and", "or"]


class RankingOptionsHybridSearch(Part):
    embedding_weight: float
    text_weight: float


class RankingOptions(Part):
    hybrid_search: RankingOptionsHybridSearch | None = None
    ranker: Literal["auto", "default-2024-11-15"] | None = None
    score_threshold: float | None = None


class FileSearchTool(Part):
    type: Literal["file_search"]
    vector_store_ids: list[str]
    filters: ComparisonFilter | CompoundFilter | None = None
    max_num_results: int | None = None
    ranking_options: RankingOptions | None = None


class ComputerTool(Part):
    type: Literal["computer"]


class ComputerUsePreviewTool(Part):
    display_height: int
    display_width: int
    environment: Literal["windows", "mac", "linux", "ubuntu", "browser"]
    type: Literal["computer_use_preview"]


class Filters(Part):
    allowed_domains: list[str] | None = None


class UserLocation(Part):
    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None
    type: Literal["approximate"] | None = None


class WebSearchTool(Part):
    type: Literal["web_search", "web_search_2025_08_26"]
    external_web_access: bool | None = None
    filters: Filters | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    user_location: UserLocation | None = None


class McpAllowedToolsMcpToolFilter(Part):
    read_only: bool | None = None
    tool_names: list[str] | None = None


class McpToolFilter(Part):
    read_only: bool | None = None
    tool_names: list[str] | None = None


class McpRequireApprovalMcpToolApprovalFilter(Part):
    always: McpToolFilter | None = None
    never: McpToolFilter | None = None


class Mcp(Part):
    server_label: str
    type: Literal["mcp"]
    allowed_callers: list[Literal["direct", "programmatic"]] | None = None
    allowed_tools: list[str] | McpAllowedToolsMcpToolFilter | None = None
    authorization: str | None = None
    connector_id: (
        Literal[
            "connector_dropbox",
            "connector_gmail",
            "connector_googlecalendar",
            "connector_googledrive",
            "connector_microsoftteams",
            "connector_outlookcalendar",
            "connector_outlookemail",
            "connector_sharepoint",
        ]
        | None
    ) = None
    defer_loading: bool | None = None
    headers: dict[str, str] | None = None
    require_approval: (
        McpRequireApprovalMcpToolApprovalFilter | Literal["always", "never"] | None
    ) = None
    server_description: str | None = None
    server_url: str | None = None
    tunnel_id: str | None = None


class ContainerNetworkPolicyDisabled(Part):
    type: Literal["disabled"]


class ContainerNetworkPolicyDomainSecret(Part):
    domain: str
    name: str
    value: str


class ContainerNetworkPolicyAllowlist(Part):
    allowed_domains: list[str]
    type: Literal["allowlist"]
    domain_secrets: list[ContainerNetworkPolicyDomainSecret] | None = None


class CodeInterpreterContainerCodeInterpreterToolAuto(Part):
    type: Literal["auto"]
    file_ids: list[str] | None = None
    memory_limit: Literal["1g", "4g", "16g", "64g"] | None = None
    network_policy: ContainerNetworkPolicyDisabled | ContainerNetworkPolicyAllowlist | None = None


class CodeInterpreter(Part):
    container: str | CodeInterpreterContainerCodeInterpreterToolAuto
    type: Literal["code_interpreter"]
    allowed_callers: list[Literal["direct", "programmatic"]] | None = None


class ProgrammaticToolCalling(Part):
    type: Literal["programmatic_tool_calling"]


class ImageGenerationInputImageMask(Part):
    file_id: str | None = None
    image_url: str | None = None


class ImageGenerationSvgReasoning(Part):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None


class ImageGenerationSvg(Part):
    model: str | None = None
    reasoning: ImageGenerationSvgReasoning | None = None


class ImageGeneration(Part):
    type: Literal["image_generation"]
    action: Literal["generate", "edit", "auto"] | None = None
    background: Literal["transparent", "opaque", "auto"] | None = None
    complexity: Literal["low", "medium", "high"] | None = None
    frame_count: int | None = None
    frame_duration_ms: int | None = None
    input_fidelity: Literal["high", "low"] | None = None
    input_image_mask: ImageGenerationInputImageMask | None = None
    model: (
        str
        | Literal[
            "gpt-image-1",
            "gpt-image-1-mini",
            "gpt-image-2",
            "gpt-image-2-2026-04-21",
            "gpt-image-2.5-sunburst",
            "gpt-image-2.5-sunburst-2026-09-08",
            "gpt-image-2.5-flare",
            "gpt-image-2.5-flare-2026-09-08",
            "gpt-image-2.6-sunburst",
            "gpt-image-2.6-flare",
            "gpt-image-1.5",
            "chatgpt-image-latest",
        ]
        | None
    ) = None
    moderation: Literal["auto", "low"] | None = None
    output_compression: int | None = None
    output_format: Literal["png", "webp", "jpeg", "gif", "svg"] | None = None
    partial_images: int | None = None
    quality: Literal["low", "medium", "high", "xhigh", "max", "auto"] | None = None
    size: str | Literal["1024x1024", "1024x1536", "1536x1024", "auto"] | None = None
    svg: ImageGenerationSvg | None = None


class LocalShell(Part):
    type: Literal["local_shell"]


class SkillReference(Part):
    skill_id: str
    type: Literal["skill_reference"]
    version: str | None = None


class InlineSkillSource(Part):
    data: str
    media_type: Literal["application/zip"]
    type: Literal["base64"]


class InlineSkill(Part):
    description: str
    name: str
    source: InlineSkillSource
    type: Literal["inline"]


class ContainerAuto(Part):
    type: Literal["container_auto"]
    file_ids: list[str] | None = None
    memory_limit: Literal["1g", "4g", "16g", "64g"] | None = None
    network_policy: ContainerNetworkPolicyDisabled | ContainerNetworkPolicyAllowlist | None = None
    skills: list[SkillReference | InlineSkill] | None = None


class LocalSkill(Part):
    description: str
    name: str
    path: str


class LocalEnvironment(Part):
    type: Literal["local"]
    skills: list[LocalSkill] | None = None


class ContainerReference(Part):
    container_id: str
    type: Literal["container_reference"]


class FunctionShellTool(Part):
    type: Literal["shell"]
    allowed_callers: list[Literal["direct", "programmatic"]] | None = None
    environment: ContainerAuto | LocalEnvironment | ContainerReference | None = None


class Text(Part):
    type: Literal["text"]


class Grammar(Part):
    definition: str
    syntax: Literal["lark", "regex"]
    type: Literal["grammar"]


class CustomTool(Part):
    name: str
    type: Literal["custom"]
    allowed_callers: list[Literal["direct", "programmatic"]] | None = None
    async_: bool | None = Field(alias="async", default=None)
    defer_loading: bool | None = None
    description: str | None = None
    format: Text | Grammar | None = None


class ToolFunction(Part):
    name: str
    type: Literal["function"]
    allowed_callers: list[Literal["direct", "programmatic"]] | None = None
    async_: bool | None = Field(alias="async", default=None)
    defer_loading: bool | None = None
    description: str | None = None
    output_schema: dict[str, object] | None = None
    parameters: object | None = None
    strict: bool | None = None


class NamespaceTool(Part):
    description: str
    name: str
    tools: list[ToolFunction | CustomTool]
    type: Literal["namespace"]


class ToolSearchTool(Part):
    type: Literal["tool_search"]
    description: str | None = None
    execution: Literal["server", "client"] | None = None
    parameters: object | None = None


class PreviewUserLocation(Part):
    type: Literal["approximate"]
    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class WebSearchPreviewTool(Part):
    type: Literal["web_search_preview", "web_search_preview_2025_03_11"]
    search_content_types: list[Literal["text", "image"]] | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    user_location: PreviewUserLocation | None = None


class ApplyPatchTool(Part):
    type: Literal["apply_patch"]
    allowed_callers: list[Literal["direct", "programmatic"]] | None = None


Tool: TypeAlias = (
    FunctionTool
    | FileSearchTool
    | ComputerTool
    | ComputerUsePreviewTool
    | WebSearchTool
    | Mcp
    | CodeInterpreter
    | ProgrammaticToolCalling
    | ImageGeneration
    | LocalShell
    | FunctionShellTool
    | CustomTool
    | NamespaceTool
    | ToolSearchTool
    | WebSearchPreviewTool
    | ApplyPatchTool
)
