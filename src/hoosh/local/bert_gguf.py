"""A BERT encoder as its makers publish it (config.json, vocab.txt, model.safetensors), written as the one GGUF file
that llama.cpp loads. The same input gives the same bytes on every machine, so that the result can be pinned by hash.

Sources: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, https://github.com/huggingface/safetensors (format)
and the names that llama.cpp gives the parts of the architecture "bert" (read 2026-11-25).
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import BinaryIO, TypeAlias

import msgspec

Read = Callable[[str], bytes]
# GGUF's numbers for the kinds of values and of tensors.
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_TENSOR_F32, _TENSOR_F16 = 0, 1
_ALIGNMENT = 32
_PIECE_BYTES = 1 << 20
_VERSION = 3
_MOSTLY_F16 = 1
_MEAN_POOLING = 1
_NORMAL, _CONTROL, _UNUSED = 1, 3, 5
_SPECIAL = MappingProxyType(
    {
        "bos": "[CLS]",
        "eos": "[SEP]",
        "seperator": "[SEP]",  # GGUF's spelling
        "unknown": "[UNK]",
        "padding": "[PAD]",
        "mask": "[MASK]",
    }
)
_EMBEDDINGS = MappingProxyType(
    {
        "token_embd.weight": "word_embeddings.weight",
        "position_embd.weight": "position_embeddings.weight",
        "token_types.weight": "token_type_embeddings.weight",
        "token_embd_norm.weight": "LayerNorm.weight",
        "token_embd_norm.bias": "LayerNorm.bias",
    }
)
_LAYER = MappingProxyType(
    {
        "attn_q": "attention.self.query",
        "attn_k": "attention.self.key",
        "attn_v": "attention.self.value",
        "attn_output": "attention.output.dense",
        "attn_output_norm": "attention.output.LayerNorm",
        "ffn_up": "intermediate.dense",
        "ffn_down": "output.dense",
        "layer_output_norm": "output.LayerNorm",
    }
)
# Small, and read for every token: not worth a loss.
_KEPT_WHOLE = frozenset({"position_embd.weight", "token_types.weight"})


class _Config(msgspec.Struct):
    hidden_size: int
    intermediate_size: int
    layer_norm_eps: float
    max_position_embeddings: int
    num_attention_heads: int
    num_hidden_layers: int
    type_vocab_size: int
    vocab_size: int


class _Place(msgspec.Struct):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class _Tensor(msgspec.Struct):
    """`data` is 32-bit floats, little-endian, the last dimension of `shape` contiguous."""

    name: str
    shape: tuple[int, ...]
    data: memoryview

    @property
    def is_halved(self) -> bool:
        return len(self.shape) == 2 and self.name not in _KEPT_WHOLE

    @property
    def size_bytes(self) -> int:
        return len(self.data) // (2 if self.is_halved else 1)

    def written(self) -> Iterator[bytes]:
        """In pieces: Python's numbers take eight times the room."""
        for start in range(0, len(self.data), _PIECE_BYTES):
            piece = self.data[start : start + _PIECE_BYTES]
            count = len(piece) // 4
            yield struct.pack(f"<{count}e", *struct.unpack(f"<{count}f", piece)) if self.is_halved else bytes(piece)


_Value: TypeAlias = tuple[int, object]


def write(read: Read, name: str, out: BinaryIO) -> None:
    """`read` gives a published file by its name. Raises ValueError where that is no BERT, KeyError where one lacks."""
    config = msgspec.json.decode(read("config.json"), type=_Config)
    tokens = read("vocab.txt").decode().split("\n")[: config.vocab_size]
    tensors = list(_tensors(read("model.safetensors"), config.num_hidden_layers))
    facts = _facts(config, name) | _vocabulary(tokens, config)
    out.write(b"GGUF" + struct.pack("<IQQ", _VERSION, len(tensors), len(facts)))
    out.writelines(_text(key) + struct.pack("<I", kind) + _written(kind, value) for key, (kind, value) in facts.items())
    at = 0
    for tensor in tensors:
        out.write(_text(tensor.name) + struct.pack("<I", len(tensor.shape)))
        out.write(struct.pack(f"<{len(tensor.shape)}Q", *reversed(tensor.shape)))
        out.write(struct.pack("<IQ", _TENSOR_F16 if tensor.is_halved else _TENSOR_F32, at))
        at += tensor.size_bytes + -tensor.size_bytes % _ALIGNMENT
    for tensor in tensors:
        out.write(bytes(-out.tell() % _ALIGNMENT))
        out.writelines(tensor.written())
    out.write(bytes(-out.tell() % _ALIGNMENT))


def _facts(config: _Config, name: str) -> dict[str, _Value]:
    return {
        "general.architecture": (_STRING, "bert"),
        "general.name": (_STRING, name),
        "general.file_type": (_U32, _MOSTLY_F16),
        "bert.context_length": (_U32, config.max_position_embeddings),
        "bert.embedding_length": (_U32, config.hidden_size),
        "bert.feed_forward_length": (_U32, config.intermediate_size),
        "bert.block_count": (_U32, config.num_hidden_layers),
        "bert.attention.head_count": (_U32, config.num_attention_heads),
        "bert.attention.layer_norm_epsilon": (_F32, config.layer_norm_eps),
        "bert.attention.causal": (_BOOL, False),
        "bert.pooling_type": (_U32, _MEAN_POOLING),
    }


def _vocabulary(tokens: Sequence[str], config: _Config) -> dict[str, _Value]:
    facts: dict[str, _Value] = {
        "tokenizer.ggml.model": (_STRING, "bert"),
        "tokenizer.ggml.pre": (_STRING, "default"),
        "tokenizer.ggml.tokens": (_ARRAY, (_STRING, [_spelt(token) for token in tokens])),
        "tokenizer.ggml.token_type": (_ARRAY, (_I32, [_kind(token) for token in tokens])),
        "tokenizer.ggml.token_type_count": (_U32, config.type_vocab_size),
    }
    for role, token in _SPECIAL.items():
        facts[f"tokenizer.ggml.{role}_token_id"] = (_U32, tokens.index(token))
    return facts


def _spelt(token: str) -> str:
    """BERT marks what goes on with a word, llama.cpp what begins one."""
    if token.startswith("[") and token.endswith("]"):
        return token
    return token[2:] if token.startswith("##") else f"\u2581{token}"


def _kind(token: str) -> int:
    if token in _SPECIAL.values():
        return _CONTROL
    return _UNUSED if token.startswith("[unused") else _NORMAL


def _tensors(file: bytes, layers: int) -> Iterator[_Tensor]:
    """In llama.cpp's order and by its names."""
    (size,) = struct.unpack_from("<Q", file)
    places = msgspec.json.decode(file[8 : 8 + size])
    places.pop("__metadata__", None)
    known = {name.removeprefix("bert."): msgspec.convert(place, _Place) for name, place in places.items()}
    data = memoryview(file)[8 + size :]
    names = {new: f"embeddings.{old}" for new, old in _EMBEDDINGS.items()}
    for n in range(layers):
        for new, old in _LAYER.items():
            for part in ("weight", "bias"):
                names[f"blk.{n}.{new}.{part}"] = f"encoder.layer.{n}.{old}.{part}"
    for new, old in names.items():
        place = known[old]
        if place.dtype != "F32":
            raise ValueError(f"{old} is {place.dtype}, not F32")
        yield _Tensor(new, place.shape, data[slice(*place.data_offsets)])


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _written(kind: int, value: object) -> bytes:
    match value:
        case str():
            return _text(value)
        case (int(inner), list(items)):
            return struct.pack("<IQ", inner, len(items)) + b"".join(_written(inner, item) for item in items)
    return struct.pack({_U32: "<I", _I32: "<i", _F32: "<f", _BOOL: "<?"}[kind], value)
