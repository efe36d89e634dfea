"""An engine that makes one token for each request in turn, with a random-weight Qwen3.

It stops working on a request the moment the request is dropped.
"""

import threading
from collections.abc import Callable, Sequence

import torch
from transformers import AutoModelForCausalLM, DynamicCache

from stream_lab.processes.backends.random_qwen3 import configuration, vocabulary

TEMPERATURE = 0.9


class Generation:
    """One sequence that is being generated.

    Attributes:
        on_token: called in the engine's thread with the id of each token.
        chance: the source of random numbers.
    """

    def __init__(
        self, prompt: Sequence[int], on_token: Callable[[int], object], chance: torch.Generator
    ) -> None:
        self.on_token, self.chance = on_token, chance
        self.pending = list(prompt)
        self.cache = DynamicCache()


class TorchEngine:
    """The model, and the thread in which it works.

    Requests join and leave between two steps (iteration-level scheduling, as in vLLM). Within a
    round, each has its own forward pass, where vLLM would batch them.
    """

    def __init__(self, size: str, device: str, *, first: int, last: int) -> None:
        """Make the model and start the thread.

        Args:
            size: the size of the model.
            device: the device, for example "cuda".
            first: the first id to draw; the ids from here on have a text.
            last: the id after the last to draw.

        Raises:
            RuntimeError: there is no such device, or it is too small for the model.
        """
        torch.manual_seed(20)
        with torch.device(device):
            self._model = AutoModelForCausalLM.from_config(
                configuration(size, vocab_size=max(vocabulary(size), last)), dtype=torch.bfloat16
            ).eval()
        self._device = device
        self._first, self._last = first, last
        self._generations: list[Generation] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        # The first step compiles and allocates.
        self._step(Generation([first], lambda token: None, self._chance(0)))
        self._thread.start()

    @property
    def parameters(self) -> int:
        """Return the number of weights."""
        return sum(weight.numel() for weight in self._model.parameters())

    def add(
        self, prompt: Sequence[int], on_token: Callable[[int], object], seed: int
    ) -> Generation:
        """Generate a sequence until it is dropped.

        The same prompt and seed give the same text.
        """
        generation = Generation(prompt, on_token, self._chance(seed))
        with self._changed:
            self._generations.append(generation)
            self._changed.notify()
        return generation

    def drop(self, generation: Generation) -> None:
        """End a sequence after the present step."""
        with self._changed:
            if generation in self._generations:
                self._generations.remove(generation)

    def _chance(self, seed: int) -> torch.Generator:
        return torch.Generator(self._device).manual_seed(seed)

    def close(self) -> None:
        """End the thread, after the present step."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while not self._closed:
            with self._changed:
                while not self._generations and not self._closed:
                    self._changed.wait()
                round = list(self._generations)
            for generation in round:
                if generation in self._generations and not self._closed:
                    generation.on_token(self._step(generation))

    def _step(self, generation: Generation) -> int:
        with torch.inference_mode():
            ids = torch.tensor([generation.pending], device=self._device)
            made = self._model(
                input_ids=ids, past_key_values=generation.cache, use_cache=True, logits_to_keep=1
            )
            scores = made.logits[0, -1, self._first : self._last].float() / TEMPERATURE
            token = self._first + int(
                torch.multinomial(torch.softmax(scores, -1), 1, generator=generation.chance)
            )
        generation.pending = [token]
        return token
