"""A request that was accepted: its prompts and parameters, whatever kind it is of."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from fake_vllm.api import structured, wire
from fake_vllm.api.body import Rejected
from fake_vllm.api.job import Job
from fake_vllm.api.prompts import Prompt, check_ids
from fake_vllm.api.refused import Refused, bad, unknown_model
from fake_vllm.api.rules import Rules
from fake_vllm.api.sampling import Parameters, check_engine, check_with_prompt
from fake_vllm.model.json_schema import SchemaError
from fake_vllm.model.offers import Offers
from fake_vllm.model.piece import Piece
from fake_vllm.model.plan import Plan
from fake_vllm.model.sampling import Sampling
from fake_vllm.model.script import Draft, Script


@dataclass(frozen=True)
class Accepted:
    """What all kinds of accepted requests have.

    `asked_tokens`: what the request asks for at most, None if it does not say. `seeds`: for each prompt, where its free text begins.
    `question`: the part of the prompt that an answer refers to. `failure`: what the engine refuses; only a stream gets so far with it.
    """

    rules: Rules
    id: str
    stream: bool
    prompts: Sequence[Prompt]
    parameters: Parameters
    sampling: Sampling
    asked_tokens: int | None
    seeds: Sequence[str]
    question: str
    scenario: str | None
    failure: Refused | None

    @property
    def prompt_tokens(self) -> int:
        return sum(len(prompt.ids) for prompt in self.prompts)

    @property
    def prompt_ids(self) -> list[list[int]]:
        return [prompt.ids for prompt in self.prompts for _ in range(self.n)]

    @property
    def n(self) -> int:
        return self.parameters.n

    @property
    def choices(self) -> int:
        return 0 if self.failure else len(self.prompts) * self.n

    @property
    def max_tokens(self) -> int | None:
        return self.asked_tokens

    @property
    def _shortest(self) -> int:
        return min(len(prompt.ids) for prompt in self.prompts)

    def plan(self) -> Plan:
        """What a healthy server would make. `max_tokens` is cut to what is left of the context without a word, as vLLM does."""
        length = self.rules.max_model_len
        eos_after = None if self.sampling.ignore_eos else length
        return Plan(eos_after=eos_after, max_tokens=self.asked_tokens, context=length - self._shortest)

    def draft(self, random: Random) -> Draft | None:
        """The text whose shape the request sets; None: it is free.

        Raises:
            SchemaError: no sample can be made for it.
        """
        return structured.draft(self.parameters.constraint, Offers(self.question), random)

    def sequences(self, plan: Plan) -> list[Iterator[Piece]]:
        """The pieces of each choice: `n` for each prompt.

        Raises:
            Refused: no text can be made up for a schema.
        """
        try:
            return [
                self._sequence(prompt, seed if choice == 0 else f"{seed} {choice}", plan)
                for prompt, seed in zip(self.prompts, self.seeds, strict=True)
                for choice in range(self.n)
            ]
        except SchemaError as error:
            raise bad(str(error)) from None

    def _sequence(self, prompt: Prompt, seed: str, plan: Plan) -> Iterator[Piece]:
        if plan.context is not None and len(prompt.ids) > self._shortest:
            plan = replace(plan, context=plan.context + self._shortest - len(prompt.ids))
        draft = self.draft(Random(seed))
        script = Script(seed, prompt.text, draft)
        return self.sampling.sequence(script.pieces(plan), plan, steered=draft is None)


class Failed:
    """The stream of a request that the engine refuses: one error event under status 200, as vLLM sends it."""

    def __init__(self, failure: Refused, before: list[bytes], after: list[bytes]) -> None:
        self.sequences: list[Iterator[Piece]] = []
        self._events = [*before, wire.error_event(failure.body), *after]

    def begin(self) -> list[bytes]:
        return []

    def event(self, index: int, piece: Piece) -> bytes:
        raise IndexError(index)

    def frame(self, index: int) -> None:
        raise IndexError(index)

    def count(self, index: int, tokens: int) -> None:
        raise IndexError(index)

    def end(self) -> list[bytes]:
        return self._events

    def text_event(self, text: str) -> bytes:
        return b""

    def collect(self, index: int, piece: Piece) -> None:
        raise IndexError(index)

    def answer(self) -> dict[str, Any]:
        raise NotImplementedError("Only a stream is accepted with a failure in it.")


def failed(failure: Refused) -> Job:
    return Failed(failure, [], [wire.DONE])


def check_model(model: str | None, rules: Rules) -> None:
    """Raise `Refused` for a model that is not served. None and "" mean the one that is."""
    if model and model != rules.served_model_name:
        raise unknown_model(model, rules.served_model_name)


def engine_failure(parameters: Parameters, prompts: Sequence[Prompt], stream: bool) -> Refused | None:
    """What the engine refuses of a request; None: nothing.

    Raises:
        Rejected: the same, if the answer is no stream and so can still say it with its status.
    """
    try:
        for prompt in prompts:
            check_engine(parameters)
            check_ids(prompt.ids)
            check_with_prompt(parameters, len(prompt.ids))
    except Rejected as rejected:
        if not stream:
            raise
        return rejected.refused
    return None


def telling(accept: Callable[[], Any]) -> Any:
    """Call `accept`, and turn what its checks raise into a refusal.

    Raises:
        Refused: with vLLM's status, type and message.
    """
    try:
        return accept()
    except Rejected as rejected:
        raise rejected.refused from None
    except (TypeError, ValueError, OverflowError) as error:
        raise bad(str(error)) from None
