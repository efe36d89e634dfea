"""Write a random-weight Llama as GGUF, with its own tokenizer. Nothing is downloaded.

Run it in llama.cpp's environment, which has gguf: `python random_gguf.py FILE`.
"""

import sys
from itertools import product

import gguf
import numpy as np

LAYERS, WIDTH, HEADS, INNER, CONTEXT = 8, 512, 8, 1536, 16_384
BYTE, CONTROL, NORMAL, UNKNOWN = 6, 3, 1, 2  # the kinds of tokens, as llama.cpp numbers them
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"
)


def vocabulary() -> tuple[list[str], list[int]]:
    """Return the tokens and their kinds: special ones, a newline, letters, and invented words.

    No token is half a character. A random model would produce one sooner or later, and
    llama-cpp-python's stream would then hold back everything after it, at a cost that grows with
    the cube of its length.
    """
    letters = ["\u2581", *map(chr, range(0x21, 0x7F))]
    tokens = ["<unk>", "<s>", "</s>", "<0x0A>", *letters]
    kinds = [UNKNOWN, CONTROL, CONTROL, BYTE, *[NORMAL] * len(letters)]
    syllables = [
        onset + vowel
        for onset in "bdfgklmnprstvz"
        for vowel in ("a", "e", "i", "o", "u", "ar", "en", "is")
    ]
    words = ["".join(parts) for parts in product(syllables[:40], repeat=2)]
    return tokens + [f"\u2581{word}" for word in words], kinds + [NORMAL] * len(words)


def write(file: str) -> None:
    """Write the model and its tokenizer into a file."""
    tokens, kinds = vocabulary()
    chance = np.random.default_rng(20)

    def weights(*shape: int) -> np.ndarray:
        return (chance.standard_normal(shape) * 0.05).astype(np.float16)

    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    writer.add_tensor("token_embd.weight", weights(len(tokens), WIDTH))
    writer.add_tensor("output.weight", weights(len(tokens), WIDTH))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, dtype=np.float32))
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights(WIDTH, WIDTH))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, dtype=np.float32))
        writer.add_tensor(f"blk.{layer}.ffn_gate.weight", weights(INNER, WIDTH))
        writer.add_tensor(f"blk.{layer}.ffn_up.weight", weights(INNER, WIDTH))
        writer.add_tensor(f"blk.{layer}.ffn_down.weight", weights(WIDTH, INNER))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1])
