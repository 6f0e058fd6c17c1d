"""A llama model of random weights in one small GGUF file: gibberish, but served by the real engine in a moment.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (read 2026-11-23). The seed is fixed and the
vocabulary is trained on a fixed text, so that every machine makes the same model.
"""

import itertools
import json
from pathlib import Path

import gguf
import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 2048
CONTEXT_TOKENS = 2048
WIDTH = 64
LAYERS = 2
HEADS = 4
KV_HEADS = 2
INNER_WIDTH = 192
SEED = 20_260_101

END_OF_TEXT, BEGIN_TURN, END_TURN = SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = """\
{%- if tools %}<|im_start|>tools
{{ tools | tojson }}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

SUBJECTS = [
    "the river",
    "a small engine",
    "every morning",
    "our neighbour",
    "the old library",
    "a careful reader",
    "no one",
]
VERBS = ["carries", "answers", "forgets", "measures", "returns", "opens", "counts"]
OBJECTS = ["the letters", "seven stones", "a quiet question", "the price of bread", "its own name", "true and false"]
SIGNS = '{"city": "Paris", "ok": true, "n": [0, 1, 2.5, null]} () <a> https://example.org #1 a_b 50% é ü ß 你好 سلام 🙂'


def make(path: Path) -> Path:
    """Write the model to `path` (about 1.5 MB)."""
    tokens, merges = _vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER_WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_merges(merges)
    kinds = gguf.TokenType
    writer.add_token_types([kinds.CONTROL if token in SPECIAL else kinds.NORMAL for token in tokens])
    writer.add_bos_token_id(tokens.index(BEGIN_TURN))
    writer.add_eos_token_id(tokens.index(END_TURN))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, tensor in _tensors().items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _vocabulary() -> tuple[list[str], list[str]]:
    """Tokens in the order of their ids, and the merges of the byte-pair encoding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    sentences = (f"{s.capitalize()} {v} {o}." for s in SUBJECTS for v in VERBS for o in OBJECTS)
    tokenizer.train_from_iterator([*sentences, *[SIGNS] * 20], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    # So short a text fills few ids. The others get made-up words, so that what is generated is text.
    syllables = list(map("".join, itertools.product("bdfgklmnprstvz", "aeiou")))
    words = (f"Ġ{first}{second}" for first, second in itertools.product(syllables, repeat=2))
    tokens += itertools.islice((word for word in words if word not in model["vocab"]), VOCABULARY - len(tokens))
    # Which of the two shapes a merge has depends on the library's version.
    return tokens, [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]


def _tensors() -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    random = np.random.default_rng(SEED)
    kv_width = WIDTH * KV_HEADS // HEADS
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (VOCABULARY, WIDTH), "output": (VOCABULARY, WIDTH)}
    norms = ["output_norm"]
    for n in range(LAYERS):
        block = f"blk.{n}"
        norms += [f"{block}.attn_norm", f"{block}.ffn_norm"]
        shapes[f"{block}.attn_q"] = shapes[f"{block}.attn_output"] = (WIDTH, WIDTH)
        shapes[f"{block}.attn_k"] = shapes[f"{block}.attn_v"] = (kv_width, WIDTH)
        shapes[f"{block}.ffn_gate"] = shapes[f"{block}.ffn_up"] = (INNER_WIDTH, WIDTH)
        shapes[f"{block}.ffn_down"] = (WIDTH, INNER_WIDTH)
    tensors = {name: random.standard_normal(shape, np.float32) * np.float32(0.05) for name, shape in shapes.items()}
    tensors |= {norm: np.ones(WIDTH, np.float32) for norm in norms}
    return {f"{name}.weight": tensor for name, tensor in tensors.items()}
