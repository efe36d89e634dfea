"""How a completion's answer is written, streamed or whole."""

from typing import Any

from fake_vllm.api import logprobs, wire
from fake_vllm.api.completions import AskedCompletion
from fake_vllm.api.job import Told
from fake_vllm.api.prompts import Prompt
from fake_vllm.api.stream import StreamJob, collects, head
from fake_vllm.model.piece import Piece
from fake_vllm.model.plan import Plan


class CompletionJob(StreamJob):
    """One completion's answer. Its choices are numbered prompt by prompt."""

    def __init__(self, asked: AskedCompletion, plan: Plan) -> None:
        body = asked.body
        self._asked, self._body = asked, body
        self._ids, self._echo = bool(body.return_token_ids), bool(body.echo)
        super().__init__(
            head(asked.id, "text_completion", asked.rules.served_model_name),
            len(asked.prompts) * asked.n,
            [len(prompt.ids) for prompt in asked.prompts],
            body,
            plain=not (self._ids or self._echo or body.logprobs is not None),
        )
        self.sequences = asked.sequences(plan)
        self._told = [Told() for _ in self.sequences]
        self._offsets = [0] * len(self.sequences)
        self._collects = collects(plan, plain=asked.sampling.plain)

    def begin(self) -> list[bytes]:
        return []

    def written(self, index: int, piece: Piece) -> bytes:
        prompt, first = self._prompt(index), not self.begun(index)
        echoed = first and self._echo
        shown, before = self._with_prompt(prompt, piece.text) if echoed else (piece.text, [])
        choice = {
            "index": index,
            "text": shown,
            "logprobs": self._told_logprobs(index, before, self._counted(piece.ids)),
            "finish_reason": piece.finish,
            "stop_reason": piece.stop,
            "prompt_token_ids": prompt.ids if first and (self._echo or self._ids) else None,
            "token_ids": list(piece.ids) if self._ids else None,
        }
        usage = wire.usage(len(prompt.ids), self.choice_tokens(index)) if self.continuous else None
        return self.wrapped(choice, usage, last=piece.finish is not None)

    def _prompt(self, index: int) -> Prompt:
        return self._asked.prompts[index // self._asked.n]

    def _with_prompt(self, prompt: Prompt, text: str) -> tuple[str, list[int]]:
        """The text with the prompt before it, and the prompt's tokens. With token ids the prompt is not shown a second time as text."""
        said = "" if self._ids else prompt.text
        return (said if self._only_prompt else said + text), prompt.ids

    @property
    def _only_prompt(self) -> bool:
        return self._echo and self._body.max_tokens == 0

    def _counted(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        return () if self._only_prompt else ids

    def _told_logprobs(self, index: int, before: list[int], ids: tuple[int, ...]) -> dict[str, Any] | None:
        if self._body.logprobs is None:
            return None
        named, as_ids = self._asked.parameters.logprob_token_ids, bool(self._body.return_tokens_as_token_ids)
        told = logprobs.of_completion(before, ids, self._body.logprobs, named, as_ids=as_ids, offset=self._offsets[index])
        if told["tokens"]:
            self._offsets[index] = told["text_offset"][-1] + len(told["tokens"][-1])
        return told

    def prompt_details(self, *, whole: bool) -> dict[str, Any] | None:
        if not self._asked.rules.prompt_tokens_details or self._body.use_beam_search:
            return None
        return {"cached_tokens": 0, **({"created_cache_tokens": None, "multimodal_tokens": None} if whole else {})}

    def collect(self, index: int, piece: Piece) -> None:
        if self._collects:
            self._told[index].add(piece)

    def answer(self) -> dict[str, Any]:
        return {
            **self.head,
            "choices": [self._choice(index, told) for index, told in enumerate(self._told)],
            "service_tier": None,
            "system_fingerprint": wire.FINGERPRINT,
            "usage": self.whole_usage(sum(len(told.ids) for told in self._told)),
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }

    def _choice(self, index: int, told: Told) -> dict[str, Any]:
        prompt, ids = self._prompt(index), tuple(told.ids)
        text, before = self._with_prompt(prompt, told.text) if self._echo else (told.text, [])
        return {
            "index": index,
            "text": text,
            "logprobs": self._told_logprobs(index, before, self._counted(ids)),
            "finish_reason": told.last.finish,
            "stop_reason": told.last.stop,
            "token_ids": told.ids if self._ids else None,
            "prompt_logprobs": logprobs.of_prompt(prompt.ids, self._asked.parameters.prompt_logprobs),
            "prompt_token_ids": prompt.ids if self._ids else None,
            "routed_experts": None,
        }
