"""Rules: which requests get which scenario, and which words or tool calls as their answer."""

import json
from dataclasses import dataclass, replace
from typing import Annotated, Any, Protocol, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    model_validator,
)

from fake_vllm.files import ANY_FILE, Files
from fake_vllm.http.exchange import Exchange
from fake_vllm.model import GenerationPlan, Spoken
from fake_vllm.scenarios import ScenarioSpec, parse
from fake_vllm.scenarios.trigger import Numbers

FILES = "files"  # the key of the files that a rule may name, in the context of a validation
RETRY_HEADER = "x-stainless-retry-count"  # sent by OpenAI's and Anthropic's clients


def scenario_text(text: str) -> str:
    """Return the text of the server's scenario.

    Raises:
        ScenarioError: it names an unknown scenario, or a wrong parameter.
    """
    parse(text)
    return text


def _ruled_scenario(text: str, info: ValidationInfo) -> str:
    """Return the text of a scenario that a rule may name.

    Raises:
        ValueError: it is wrong, or acts before there is a request that a rule could look at.
    """
    spec = parse(text, _files(info.context))
    if spec.uploads or not spec.reads_requests:
        raise ValueError(
            f"'{text}' acts before there is a request that a rule can look at; start the server "
            "with it, or use PUT /scenario"
        )
    return text


def _files(context: Any) -> Files:
    """Return the files that a rule may name; those of the start may name any."""
    files: Files = ANY_FILE if context is None else context[FILES]
    return files


def _numbers(text: str) -> str:
    try:
        Numbers.parse(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a number from 1, as 3, or a range, as 2-4") from None
    return text


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


RuledScenario = Annotated[str, AfterValidator(_ruled_scenario)]
ScenarioText = Annotated[str, AfterValidator(scenario_text)]
Count = Annotated[str, BeforeValidator(_as_text), AfterValidator(_numbers)]


class RuledRequest(Protocol):
    """A request, as rules look at it."""

    @property
    def stream(self) -> bool:
        """Tell whether the answer is streamed."""

    @property
    def model(self) -> str:
        """Return the model that it names."""

    @property
    def question(self) -> str:
        """Return the last message of the user."""

    @property
    def turn(self) -> int:
        """Return the number of user messages in the conversation."""

    @property
    def tool_result(self) -> str | None:
        """Return the last message if it is a tool's result. None: it is not."""


class ToolCall(BaseModel):
    """A call that the model makes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    arguments: dict[str, Any] | str = Field(
        default_factory=dict, description="An object, or JSON text, which may be broken on purpose."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_openai(cls, value: Any) -> Any:
        """Accept the form of OpenAI's API too: {"function": {"name", "arguments"}}."""
        if isinstance(value, dict) and isinstance(value.get("function"), dict):
            return value["function"]
        return value

    @property
    def written(self) -> str:
        """Return the call as a model writes it for the hermes parser."""
        given = self.arguments
        arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        name = json.dumps(self.name, ensure_ascii=False)
        return f'<tool_call>\n{{"name": {name}, "arguments": {arguments}}}\n</tool_call>'


class Rule(BaseModel):
    """Requests that are answered differently; all conditions must match.

    Without a condition, the rule matches all requests.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = Field(None, description="The request's path, e.g. /v1/chat/completions.")
    stream: bool | None = Field(None, description="Whether the answer is streamed.")
    model: str | None = Field(None, description="The model that the request names.")
    prompt: str | None = Field(None, description="Words that the last user message contains.")
    headers: dict[str, str] = Field(
        default_factory=dict, description="Headers, and words that their values contain."
    )
    turn: Count | None = Field(
        None, description="The number of user messages in the conversation: 2, 2-4 or 2-."
    )
    tool_result: bool | str | None = Field(
        None,
        description="Whether the last message is a tool's result; or words that this contains. "
        "Default: false for a rule with tool_calls, else no condition.",
    )
    attempt: Count | None = Field(
        None, description="The client's attempt, by its header x-stainless-retry-count: 1, 2-."
    )
    call: Count | None = Field(
        None, description="The number of the request among those that match the other conditions."
    )

    scenario: RuledScenario | None = Field(
        None, description="Scenario to play, unless the request names one."
    )
    say: str | None = Field(None, description="Text of the answer.")
    tool_calls: tuple[ToolCall, ...] = Field(
        (), description="Tools that the answer calls, each with name and arguments."
    )
    reasoning: str | None = Field(None, description="What the model thinks before it answers.")
    writes: str | None = Field(
        None,
        description="Instead of these three: what the model writes, with marks such as <think> and "
        "<tool_call>.",
    )

    _spec: ScenarioSpec | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.scenario is None and not self.speaks:
            raise ValueError("a rule needs an effect: scenario, say, tool_calls or reasoning")
        if self.writes is not None and (self.say or self.tool_calls or self.reasoning):
            raise ValueError("writes stands for all that the model writes; leave out the others")
        return self

    def model_post_init(self, context: Any) -> None:
        if self.scenario is not None:
            self._spec = parse(self.scenario, _files(context))

    @property
    def spec(self) -> ScenarioSpec | None:
        """Return the scenario. None: the rule names none."""
        return self._spec

    @property
    def speaks(self) -> bool:
        """Tell whether the rule sets the words of the answer."""
        words = (self.say, self.reasoning, self.writes)
        return bool(self.tool_calls) or any(one is not None for one in words)

    @property
    def answer(self) -> "ScriptedAnswer | None":
        """Return the words of the answer. None: the rule leaves them to the model."""
        if not self.speaks:
            return None
        if self.writes is not None:
            only_thinks = self.writes.startswith("<think>") and self.writes.endswith("</think>")
            return ScriptedAnswer("", self.writes) if only_thinks else ScriptedAnswer(self.writes)
        thought = None if self.reasoning is None else f"<think>{self.reasoning}</think>"
        if self.say is None and not self.tool_calls:
            return ScriptedAnswer(None, thought)
        calls = "\n".join(call.written for call in self.tool_calls)
        text = "\n".join(part for part in (self.say, calls) if part)
        return ScriptedAnswer(text, thought or "<think></think>", thinks=thought is not None)

    def matches(self, exchange: Exchange, request: RuledRequest) -> bool:
        """Tell whether all conditions but `call` match."""
        return (
            self.path in (None, exchange.path)
            and self.stream in (None, request.stream)
            and self.model in (None, request.model)
            and (self.prompt is None or self.prompt in request.question)
            and all(
                (value := exchange.headers.get(name.lower())) is not None and words in value
                for name, words in self.headers.items()
            )
            and _within(self.turn, request.turn)
            and self._result_matches(request.tool_result)
            and _within(self.attempt, retry_of(exchange) + 1)
        )

    def _result_matches(self, result: str | None) -> bool:
        wanted = self.tool_result
        if wanted is None:
            return not self.tool_calls or result is None
        if isinstance(wanted, bool):
            return wanted is (result is not None)
        return result is not None and wanted in result


@dataclass(frozen=True)
class ScriptedAnswer:
    """Words that a rule prescribes.

    Attributes:
        text: the text, with the marks of tool calls. None: the model chooses its answer.
        thought: the thought before it, with its marks. None: the text has it, or there is none.
        thinks: whether the answer is parsed as with --reasoning-parser, on any server.
    """

    text: str | None
    thought: str | None = None
    thinks: bool = False

    def shape(self, plan: GenerationPlan) -> GenerationPlan:
        """Return the plan with these words; a plan without an end repeats them.

        A request that turns thinking off gets no thought.
        """
        reasons = plan.reasons or (plan.may_think and (self.thinks or self.text is None))
        thought = Spoken(self.thought) if reasons and self.thought is not None else None
        plan = replace(plan, reasons=reasons, thought=thought)
        if self.text is None:
            return plan
        source = Spoken(self.text)
        ends = None if plan.eos_after is None else source.tokens
        # A model that writes a thought alone still keeps the form that the request prescribes.
        return replace(plan, source=source, eos_after=ends, scripted=bool(self.text))


class Rulebook:
    """The rules of a server, in order, with the count of requests that matched each.

    Attributes:
        rules: the rules.
        calls_tools: whether one of them calls a tool.
    """

    def __init__(self, rules: tuple[Rule, ...] = ()) -> None:
        self.rules = rules
        self._counts = [0] * len(rules)
        self.calls_tools = any(rule.tool_calls for rule in rules)

    def find(
        self, exchange: Exchange, request: RuledRequest
    ) -> tuple[ScenarioSpec | None, ScriptedAnswer | None]:
        """Return what the first matching rule sets. None: the usual."""
        for at, rule in enumerate(self.rules):
            if not rule.matches(exchange, request):
                continue
            self._counts[at] += 1
            if _within(rule.call, self._counts[at]):
                return rule.spec, rule.answer
        return None, None

    def restart(self) -> None:
        """Count from 1 again."""
        self._counts = [0] * len(self.rules)


def retry_of(exchange: Exchange) -> int:
    """Return the number of the retry, as the client counts it; 0: the first attempt."""
    text = exchange.headers.get(RETRY_HEADER, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _within(range: str | None, number: int) -> bool:
    return range is None or number in Numbers.parse(range)
