"""A BERT encoder of random weights as its makers would publish it: three small files, in a wheel or in the store."""

import io
import json
import random
import struct
import zipfile
from pathlib import Path

from hoosh.local import bert_gguf
from hoosh.local.store import Manifest

WIDTH = 32
INNER = 64
LAYERS = 2
CONTEXT_TOKENS = 512
LETTERS = "abcdefghijklmnopqrstuvwxyz.,?"
TOKENS = ("[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS))
SEED = 20_260_102

CONFIG = {
    "architectures": ["BertModel"],
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": CONTEXT_TOKENS,
    "num_attention_heads": 4,
    "num_hidden_layers": LAYERS,
    "type_vocab_size": 2,
    "vocab_size": len(TOKENS),
}


def shapes() -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(TOKENS), WIDTH),
        "embeddings.position_embeddings.weight": (CONTEXT_TOKENS, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
        "pooler.dense.weight": (WIDTH, WIDTH),  # of no use for vectors
    }
    for n in range(LAYERS):
        layer = f"encoder.layer.{n}"
        for name, out, into in (
            ("attention.self.query", WIDTH, WIDTH),
            ("attention.self.key", WIDTH, WIDTH),
            ("attention.self.value", WIDTH, WIDTH),
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", INNER, WIDTH),
            ("output.dense", WIDTH, INNER),
        ):
            found[f"{layer}.{name}.weight"] = (out, into)
            found[f"{layer}.{name}.bias"] = (out,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            found[f"{layer}.{name}.weight"] = found[f"{layer}.{name}.bias"] = (WIDTH,)
    return found


def tensors() -> dict[str, tuple[float, ...]]:
    chance = random.Random(SEED)
    made = {}
    for name, shape in shapes().items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [chance.gauss(0, 0.2) for _ in range(count)]
        made[name] = struct.unpack(f"<{count}f", struct.pack(f"<{count}f", *values))
    return made


def files() -> dict[str, bytes]:
    places, data = {}, b""
    for name, values in tensors().items():
        piece = struct.pack(f"<{len(values)}f", *values)
        offsets = [len(data), len(data) + len(piece)]
        places[name] = {"dtype": "F32", "shape": list(shapes()[name]), "data_offsets": offsets}
        data += piece
    head = json.dumps({"__metadata__": {"format": "pt"}, **places}).encode()
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "vocab.txt": "\n".join((*TOKENS, "")).encode(),
        "model.safetensors": struct.pack("<Q", len(head)) + head + data,
    }


def gguf_bytes() -> bytes:
    out = io.BytesIO()
    bert_gguf.write(files().__getitem__, "tiny", out)
    return out.getvalue()


def wheel(folder: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files().items():
            archive.writestr(f"{folder}/{name}", data)
    return out.getvalue()


def store(root: Path, name: str) -> None:
    """As if `name` had been pulled to the model store at `root`."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    data = gguf_bytes()
    (folder / "weights.gguf").write_bytes(data)
    manifest = Manifest(name=name, size_bytes=len(data), sha256="0" * 64, licence="MIT", description="Nothing.")
    (folder / "model.json").write_text(
        json.dumps({field: getattr(manifest, field) for field in manifest.__struct_fields__})
    )
