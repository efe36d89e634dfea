"""Write a random-weight Qwen3 of any size, with tokenizer and chat template. Nothing is downloaded.

Run it in a server's environment, which has transformers:
`python random_qwen3.py FOLDER [--size 8b] [--weights]`.
vLLM makes the weights itself with `--load-format dummy`.
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
"""The shapes of the Qwen3 of these sizes; "tiny" is this project's own."""
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
{%- else -%}{%- for part in message.content or [] -%}
{{- part.text or '' -}}
{%- endfor -%}{%- endif -%}
{{- '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"""


def vocabulary(size: str) -> int:
    """Return the size of the vocabulary, which only the tiny model has to itself."""
    return VOCABULARY if size == "tiny" else REAL_VOCABULARY


def configuration(size: str, **more: Any) -> Any:
    """Return transformers' `Qwen3Config` of a size in SIZES, with further settings."""
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
    """Return invented text for learning the tokenizer's merges, the same each time."""
    chance = random.Random(20)
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 3))) for _ in range(2000)]
    words += COMMON * 20
    ends = [". ", "? ", "! ", ",\n", ': {}[]""0123456789']
    return [
        " ".join(chance.choices(words, k=10)).capitalize() + chance.choice(ends)
        for _ in range(count)
    ]


def tokenizer(size: int) -> Any:
    """Train a byte-level tokenizer of N tokens on invented text, and add further words."""
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
    content = json.loads(made.to_str())
    words = content["model"]["vocab"]
    # Byte-level tokenizers write a space as \u0120.
    more = (f"\u0120{''.join(parts)}" for parts in product(SYLLABLES, repeat=3))
    for word in islice((word for word in more if word not in words), size - made.get_vocab_size()):
        words[word] = len(words)
    made = Tokenizer.from_str(json.dumps(content))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=END, pad_token=PAD, model_max_length=CONTEXT
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def write(folder: str, size: str, *, weights: bool) -> None:
    """Write tokenizer and configuration into a folder, and the weights if requested."""
    words = tokenizer(vocabulary(size))
    words.save_pretrained(folder)
    made = configuration(size, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id)
    if weights:
        import torch
        from transformers import AutoModelForCausalLM, GenerationConfig

        torch.manual_seed(20)
        AutoModelForCausalLM.from_config(made).save_pretrained(folder)
        # The likeliest token would always be the same one, and never the end; sampling gives words.
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
    arguments = parser.parse_args()
    write(arguments.folder, arguments.size, weights=arguments.weights)
