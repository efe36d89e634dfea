"""Write a random-weight Qwen3 of any size: a tokenizer, a chat template, a configuration. Nothing is downloaded.

Runs in a server's own environment, which has transformers: `python random_qwen3.py FOLDER [--size 8b] [--weights]`.
vLLM makes the weights up itself with `--load-format dummy`.
"""

import argparse
import json
import random
from itertools import islice, product
from typing import Any

CONTEXT = 32_768
VOCABULARY = 2048
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = [PAD, START, END, "<think>", "</think>"]
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "head_dim": 32,
    },
    "0.6b": {
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
    },
    "1.7b": {
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
    },
    "4b": {
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
    },
    "8b": {
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
    },
    "14b": {
        "hidden_size": 5120,
        "intermediate_size": 17408,
        "num_hidden_layers": 40,
        "num_attention_heads": 40,
    },
    "32b": {
        "hidden_size": 5120,
        "intermediate_size": 25600,
        "num_hidden_layers": 64,
        "num_attention_heads": 64,
    },
}
"""The shapes of the Qwen3 that have these sizes; "tiny" is our own."""
COMMON = "hello world the model says what its prompt asks for and does not stop".split()
REAL_VOCABULARY = 151_936
SYLLABLES = [
    onset + vowel
    for onset in "bdfgklmnprstvz"
    for vowel in ("a", "e", "i", "o", "u", "ar", "en", "is")
]
CHAT_TEMPLATE = """{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\n' -}}
{%- if message.content is string -%}{{- message.content -}}
{%- else -%}{%- for part in message.content or [] -%}{{- part.text or '' -}}{%- endfor -%}{%- endif -%}
{{- '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"""


def vocabulary(size: str) -> int:
    """Return how many tokens a Qwen3 of this size computes over.

    That is as many as the real ones know, but for the tiny one.
    """
    return VOCABULARY if size == "tiny" else REAL_VOCABULARY


def configuration(size: str, **more: Any) -> Any:
    """transformers' `Qwen3Config` of a size in SIZES. `more`: further settings, as `eos_token_id`."""
    from transformers import Qwen3Config

    small = size == "tiny"
    settings = {
        "num_key_value_heads": 2 if small else 8,
        "head_dim": 128,
        "vocab_size": vocabulary(size),
        "max_position_embeddings": CONTEXT,
        "tie_word_embeddings": size in ("tiny", "0.6b", "1.7b", "4b"),
        "architectures": ["Qwen3ForCausalLM"],
        "bos_token_id": None,
        "dtype": "bfloat16",
    }
    return Qwen3Config(**{**settings, **SIZES[size], **more})


def sentences(count: int = 3000) -> list[str]:
    """Invented text to learn the tokenizer's merges from; the same each time."""
    chance = random.Random(20)
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 3))) for _ in range(2000)]
    words += COMMON * 20
    ends = [". ", "? ", "! ", ",\n", ': {}[]""0123456789']
    return [
        " ".join(chance.choices(words, k=10)).capitalize() + chance.choice(ends)
        for _ in range(count)
    ]


def tokenizer(size: int) -> Any:
    """Train a byte-level tokenizer of N tokens on invented text, and add words that it only ever says."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(sentences(), trainer)
    told = json.loads(made.to_str())
    words = told["model"]["vocab"]
    more = (
        f"\u0120{''.join(parts)}" for parts in product(SYLLABLES, repeat=3)
    )  # as byte-level tokenizers show a space
    for word in islice((word for word in more if word not in words), size - made.get_vocab_size()):
        words[word] = len(words)
    made = Tokenizer.from_str(json.dumps(told))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=END, pad_token=PAD, model_max_length=CONTEXT
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def write(folder: str, size: str, *, weights: bool) -> None:
    words = tokenizer(vocabulary(size))
    words.save_pretrained(folder)
    made = configuration(size, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id)
    if weights:
        import torch
        from transformers import AutoModelForCausalLM, GenerationConfig

        torch.manual_seed(20)
        AutoModelForCausalLM.from_config(made).save_pretrained(folder)
        # Always the likeliest token would be the same token for ever, and no end token: drawn, it says words.
        GenerationConfig(
            do_sample=True, temperature=0.9, pad_token_id=words.pad_token_id
        ).save_pretrained(folder)
    made.save_pretrained(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--size", default="tiny", choices=SIZES)
    parser.add_argument("--weights", action="store_true", help="write random weights as well")
    asked = parser.parse_args()
    write(asked.folder, asked.size, weights=asked.weights)
