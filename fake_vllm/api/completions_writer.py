"""The answer of `/v1/completions`, streamed or whole."""

from typing import Any

from fake_vllm.api import logprobs, wire
from fake_vllm.api.completions_request import AcceptedCompletionRequest
from fake_vllm.api.prompts import Prompt
from fake_vllm.api.stream_writer import StreamWriter, collects, head
from fake_vllm.api.writer import CollectedChoice
from fake_vllm.model.plan import GenerationPlan
from fake_vllm.model.text_piece import Piece


class CompletionWriter(StreamWriter):
    """The writer of one completion's answer; choices are numbered prompt by prompt."""

    def __init__(self, request: AcceptedCompletionRequest, plan: GenerationPlan) -> None:
        body = request.body
        self._request, self._body = request, body
        self._ids, self._echo = bool(body.return_token_ids), bool(body.echo)
        super().__init__(
            head(request.id, "text_completion", request.rules.served_model_name),
            len(request.prompts) * request.n,
            [len(prompt.ids) for prompt in request.prompts],
            body,
            rules=request.rules,
            plain=not (self._ids or self._echo or body.logprobs is not None),
        )
        self.sequences = request.sequences(plan)
        self._collected = [CollectedChoice() for _ in self.sequences]
        self._offsets = [0] * len(self.sequences)
        self._collects = collects(plan, plain=request.sampling.plain)

    def begin(self) -> list[bytes]:
        return []

    def written(self, index: int, piece: Piece) -> bytes:
        prompt, first = self._prompt(index), not self.begun(index)
        echoed = first and self._echo
        shown, before = self._with_prompt(prompt, piece.text) if echoed else (piece.text, [])
        choice = {
            "index": index,
            "text": shown,
            "logprobs": self._logprobs_of(index, before, self._counted(piece.ids)),
            "finish_reason": piece.finish,
            "stop_reason": piece.stop,
            "prompt_token_ids": prompt.ids if first and (self._echo or self._ids) else None,
            "token_ids": list(piece.ids) if self._ids else None,
            **self.more_keys,
        }
        usage = wire.usage(len(prompt.ids), self.choice_tokens(index)) if self.continuous else None
        return self.wrapped(choice, usage, last=piece.finish is not None)

    def _prompt(self, index: int) -> Prompt:
        return self._request.prompts[index // self._request.n]

    def _with_prompt(self, prompt: Prompt, text: str) -> tuple[str, list[int]]:
        """Return the text after the prompt's, and the prompt's tokens.

        Where ids are shown, the prompt's text is not.
        """
        text_of_prompt = "" if self._ids else prompt.text
        return (text_of_prompt if self._only_prompt else text_of_prompt + text), prompt.ids

    @property
    def _only_prompt(self) -> bool:
        return self._echo and self._body.max_tokens == 0

    def _counted(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        return () if self._only_prompt else ids

    def _logprobs_of(
        self, index: int, before: list[int], ids: tuple[int, ...]
    ) -> dict[str, Any] | None:
        if self._body.logprobs is None:
            return None
        named, as_ids = (
            self._request.parameters.logprob_token_ids,
            bool(self._body.return_tokens_as_token_ids),
        )
        shown = logprobs.of_completion(
            before, ids, self._body.logprobs, named, as_ids=as_ids, offset=self._offsets[index]
        )
        if shown["tokens"]:
            self._offsets[index] = shown["text_offset"][-1] + len(shown["tokens"][-1])
        return shown

    def prompt_details(self, *, whole: bool) -> dict[str, Any] | None:
        if not self._request.rules.prompt_tokens_details or self._body.use_beam_search:
            return None
        return {
            "cached_tokens": 0,
            **({"created_cache_tokens": None, "multimodal_tokens": None} if whole else {}),
        }

    def collect(self, index: int, piece: Piece) -> None:
        if self._collects:
            self._collected[index].add(piece)

    def answer(self) -> dict[str, Any]:
        return {
            **self.head,
            "choices": [
                self._choice(index, collected) for index, collected in enumerate(self._collected)
            ],
            "service_tier": None,
            "system_fingerprint": self.release.fingerprint,
            "usage": self.whole_usage(sum(len(collected.ids) for collected in self._collected)),
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }

    def _choice(self, index: int, collected: CollectedChoice) -> dict[str, Any]:
        prompt, ids = self._prompt(index), tuple(collected.ids)
        text, before = (
            self._with_prompt(prompt, collected.text) if self._echo else (collected.text, [])
        )
        return {
            "index": index,
            "text": text,
            "logprobs": self._logprobs_of(index, before, self._counted(ids)),
            "finish_reason": collected.last.finish,
            "stop_reason": collected.last.stop,
            "token_ids": collected.ids if self._ids else None,
            "prompt_logprobs": logprobs.of_prompt(
                prompt.ids, self._request.parameters.prompt_logprobs
            ),
            "prompt_token_ids": prompt.ids if self._ids else None,
            "routed_experts": None,
            **self.more_keys,
        }
