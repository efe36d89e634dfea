"""An accepted request of any endpoint: its prompts, parameters and plan."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random
from typing import Any, ClassVar

from fake_vllm.api import structured, wire
from fake_vllm.api.body import Rejected
from fake_vllm.api.conversation import Turn
from fake_vllm.api.prompts import Prompt, check_ids
from fake_vllm.api.reasoning import THOUGHT
from fake_vllm.api.refused import Refused, bad, unknown_model
from fake_vllm.api.sampling import Parameters, check_engine, check_with_prompt
from fake_vllm.api.server_rules import Rules
from fake_vllm.api.writer import ResponseWriter
from fake_vllm.model.budget import TooMuchError
from fake_vllm.model.json_schema import SchemaError
from fake_vllm.model.plan import GenerationPlan, Thought
from fake_vllm.model.prompt_values import PromptValues
from fake_vllm.model.sampling import Sampling
from fake_vllm.model.script import Draft, Script
from fake_vllm.model.text_piece import Piece


@dataclass(frozen=True)
class AcceptedRequest:
    """The common part of all accepted requests.

    Attributes:
        rules: the server's rules.
        id: the answer's id: the client's, or 16 random hexadecimal digits.
        stream: whether the answer is streamed.
        prompts: the prompts.
        parameters: the checked sampling parameters.
        sampling: what they mean to the model.
        max_tokens: the most tokens that the request wants. None: it does not say.
        seeds: the seed of the free text, for each prompt.
        question: the part of the prompt that an answer refers to, which is the last message of the
            user.
        model: the model that the request names.
        turns: the conversation so far; a completion has none.
        scenario: the body's field `fake_scenario`.
        failure: the engine's refusal; only a stream is accepted with one.
        make_writer: begins the answer, in the form of its endpoint.
        keeps_alive: whether --sse-keep-alive-interval applies to its stream.
    """

    keeps_alive: ClassVar[bool] = True

    rules: Rules
    id: str
    stream: bool
    prompts: Sequence[Prompt]
    parameters: Parameters
    sampling: Sampling
    max_tokens: int | None
    seeds: Sequence[str]
    question: str
    model: str
    turns: Sequence[Turn]
    scenario: str | None
    failure: Refused | None
    make_writer: Callable[[Any, GenerationPlan], ResponseWriter]

    @property
    def prompt_tokens(self) -> int:
        """Return the number of tokens of all prompts together."""
        return sum(len(prompt.ids) for prompt in self.prompts)

    @property
    def prompt_ids(self) -> list[list[int]]:
        """Return the prompt of each sequence, in order."""
        return [prompt.ids for prompt in self.prompts for _ in range(self.n)]

    @property
    def turn(self) -> int:
        """Return the number of user messages in the conversation, at least 1."""
        return max(1, sum(turn["role"] == "user" for turn in self.turns))

    @property
    def tool_result(self) -> str | None:
        """Return the last message if it is a tool's result. None: it is not."""
        last = self.turns[-1] if self.turns else None
        return last["text"] if last is not None and last["role"] == "tool" else None

    @property
    def n(self) -> int:
        return self.parameters.n

    @property
    def choices(self) -> int:
        """Return the number of sequences, prompts times `n`; 0 if the engine refuses."""
        return 0 if self.failure else len(self.prompts) * self.n

    @property
    def _shortest(self) -> int:
        return min(len(prompt.ids) for prompt in self.prompts)

    def plan(self) -> GenerationPlan:
        """Return the plan of a healthy server, which the rest of the context bounds."""
        length = self.rules.max_model_len
        eos_after = None if self.sampling.ignore_eos else length
        return GenerationPlan(
            eos_after=eos_after, max_tokens=self.max_tokens, context=length - self._shortest
        )

    def with_thought(
        self, plan: GenerationPlan, *, may_think: bool, shown: bool, choice: str | None
    ) -> GenerationPlan:
        """Return the plan with a thought before the answer, where a parser reads it.

        Args:
            plan: the plan of the answer.
            may_think: whether the request lets the model think.
            shown: whether the client gets the thought.
            choice: the `tool_choice`, or its tool's name.
        """
        reasons = self.rules.reasoning is not None and may_think
        forced = self.rules.tool_calls and choice not in ("none", "auto", None)
        # A hidden thought does not hold a constraint back, so there is no room for one.
        silent = not shown and (forced or self.parameters.constraint is not None)
        thought = Thought(THOUGHT) if reasons and not silent else None
        return replace(plan, may_think=may_think, reasons=reasons, thought=thought)

    def writer(self, plan: GenerationPlan) -> ResponseWriter:
        """Begin the answer.

        Raises:
            Refused: no sample can be made for a schema.
        """
        return self.make_writer(self, plan)

    def error_body(self, error: dict[str, Any]) -> dict[str, Any]:
        """Return an error as the endpoint words it in a whole answer."""
        return error

    def error_events(self, error: dict[str, Any]) -> list[bytes] | None:
        """Return the events that end a stream in which the generation fails.

        None: there are none, and the connection is closed.
        """
        return [wire.error_event(error), wire.DONE]

    @cached_property
    def prompt_values(self) -> PromptValues:
        """Return the values in the question; each text is made with them `anew`."""
        return PromptValues(self.question)

    def draft(self, random: Random) -> Draft | None:
        """Return the text in a prescribed form. None: the text is free.

        Raises:
            SchemaError: no sample can be made for the schema.
        """
        constraint = self.parameters.constraint
        if constraint is None:
            return None
        return structured.draft(constraint, self.prompt_values.anew(), random)

    def sequences(self, plan: GenerationPlan) -> list[Iterator[Piece]]:
        """Return the pieces of each choice: `n` choices for each prompt.

        Raises:
            Refused: no sample can be made for a schema.
        """
        try:
            return [
                self._sequence(prompt, seed if choice == 0 else f"{seed} {choice}", plan)
                for prompt, seed in zip(self.prompts, self.seeds, strict=True)
                for choice in range(self.n)
            ]
        except (SchemaError, TooMuchError) as error:
            raise bad(str(error)) from None

    def _sequence(self, prompt: Prompt, seed: str, plan: GenerationPlan) -> Iterator[Piece]:
        if plan.context is not None and len(prompt.ids) > self._shortest:
            plan = replace(plan, context=plan.context + self._shortest - len(prompt.ids))
        draft = None if plan.scripted else self.draft(Random(seed))
        script = Script(seed, prompt.text, draft)
        free = draft is None and not plan.scripted
        return self.sampling.sequence(script.pieces(plan), plan, steered=free)


def check_model(model: str | None, rules: Rules) -> None:
    """Raise `Refused` for an unknown model; None and "" stand for the served one."""
    if model and model not in rules.names:
        raise unknown_model(model, rules.names)


def engine_failure(
    rules: Rules, parameters: Parameters, prompts: Sequence[Prompt], stream: bool
) -> Refused | None:
    """Return the engine's refusal of a request. None: it accepts the request.

    Raises:
        Rejected: the engine refuses a request whose answer is not a stream. A stream has sent its
            status before the engine sees the request.
    """
    try:
        for prompt in prompts:
            check_engine(parameters, reasons=rules.reasoning is not None)
            check_ids(prompt.ids)
            check_with_prompt(parameters, len(prompt.ids))
    except Rejected as rejected:
        if not stream:
            raise
        return rejected.refused
    return None


def refusing(accept: Callable[[], Any]) -> Any:
    """Call `accept`, and turn an error of its checks into a refusal.

    Raises:
        Refused: a check failed; status, type and message are vLLM's.
    """
    try:
        return accept()
    except Rejected as rejected:
        raise rejected.refused from None
    except (TypeError, ValueError, OverflowError) as error:
        raise bad(str(error)) from None
