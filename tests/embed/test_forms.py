"""Every form of weights gives what the published forward pass gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from penstock.core.context import start_context
from penstock.core.errors import ModelMissing
from penstock.core.types import Principal
from penstock.embed.load import load
from penstock.embed.openvino import OpenVinoEmbedder
from penstock.models.batches import padded
from penstock.models.engine import Engine
from tests.embed import tiny_encoders as tiny

TEXTS = [tiny.words(9), tiny.words(2, seed=1), tiny.words(17, seed=2), tiny.words(5, seed=3)]


async def embed(folder: Path, texts: list[str], **settings: object) -> np.ndarray:
    embedder = OpenVinoEmbedder(model=str(folder), **{"precision": "fp32", "threads": 1, **settings})
    embedder.start()
    try:
        return await embedder.embed(texts, start_context(principal=Principal(), timeout_s=60))
    finally:
        embedder.stop()


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta", "distilbert"])
async def test_safetensors(tmp_path, kind):
    folder = tiny.make(tmp_path / kind, kind=kind)
    vectors = await embed(folder, TEXTS)
    expected = np.stack([tiny.reference(folder, text) for text in TEXTS])
    np.testing.assert_allclose(vectors, expected, atol=2e-5)


@pytest.mark.parametrize("asked", ["cls_token", "max_tokens", "lasttoken"])
async def test_poolings(tmp_path, asked):
    folder = tiny.make(tmp_path / "model", pooling=asked)
    pooling = {"cls_token": "cls", "max_tokens": "max", "lasttoken": "last"}[asked]
    expected = np.stack([tiny.reference(folder, text, pooling=pooling) for text in TEXTS])
    np.testing.assert_allclose(await embed(folder, TEXTS), expected, atol=2e-5)


async def test_int8_stays_close(tmp_path):
    folder = tiny.make(tmp_path / "model")
    exact, rough = await embed(folder, TEXTS), await embed(folder, TEXTS, precision="int8")
    assert 0.995 < (exact * rough).sum(axis=1).min() < 1.0 - 1e-7


async def test_half_precision_files(tmp_path):
    folder = tiny.make(tmp_path / "model")
    arrays = tiny.load_file(folder / "model.safetensors")
    tiny.save_file({name: array.astype(np.float16) for name, array in arrays.items()}, folder / "model.safetensors")
    expected = np.stack([tiny.reference(folder, text) for text in TEXTS])
    np.testing.assert_allclose(await embed(folder, TEXTS), expected, atol=2e-5)


async def test_openvino_ir(tmp_path):
    folder = tiny.make(tmp_path / "model")
    expected = await embed(folder, TEXTS)
    loaded = load(str(folder), revision=None, precision="fp32", max_tokens=0, connect_timeout_s=1)
    (folder / "openvino").mkdir()
    named = loaded.graph.model
    named.output(0).get_tensor().set_names({"sentence_embedding"})
    ov.save_model(named, folder / "openvino" / "openvino_model.xml", compress_to_fp16=False)
    (folder / "model.safetensors").unlink()
    np.testing.assert_allclose(await embed(folder, TEXTS), expected, atol=1e-6)


async def test_onnx(tmp_path):
    # given an ONNX file whose token states are rows of two tables, written byte by byte
    folder = tmp_path / "model"
    folder.mkdir()
    tiny.write_tokenizer(folder)
    random = np.random.default_rng(3)
    words, types = (random.normal(size=(rows, 8)).astype(np.float32) for rows in (len(tiny.WORDS), 2))
    (folder / "model.onnx").write_bytes(onnx_of_tables(words, types))
    # when
    vectors = await embed(folder, TEXTS)
    # then
    for text, vector in zip(TEXTS, vectors, strict=True):
        ids = [2, *(tiny.WORDS.index(word) for word in text.split()), 3]
        mean = (words[ids] + types[0]).mean(axis=0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_padding_changes_nothing(tmp_path):
    loaded = load(
        str(tiny.make(tmp_path / "model")), revision=None, precision="fp32", max_tokens=0, connect_timeout_s=1
    )
    engine = Engine(core=loaded.core, graph=loaded.graph, precision="fp32", streams=1, threads=1)
    alone = engine.run(*padded([[2, 9, 10, 3]], pad_id=0, window=32))
    beside = engine.run(*padded([[2, 9, 10, 3], [2, *range(4, 34), 3]], pad_id=0, window=32))
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-6)
    assert (engine.totals.tokens, engine.totals.padding, engine.totals.texts) == (4 + 4 + 32, 4 + 28, 3)


@pytest.mark.parametrize("damage", ["short", "garbage", "array"])
def test_damaged_weights_are_refused_by_name(tmp_path, damage):
    folder = tiny.make(tmp_path / "model")
    file = folder / "model.safetensors"
    if damage == "short":
        file.write_bytes(file.read_bytes()[:-500])
    elif damage == "garbage":
        file.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00not json at all!")
    else:
        tiny.save_file({"embeddings.word_embeddings.weight": np.zeros((4, 4), np.float32)}, file)
    with pytest.raises(ModelMissing, match=r"model\.safetensors"):
        load(str(folder), revision=None, precision="fp32", max_tokens=0, connect_timeout_s=1)


def test_an_unknown_kind_is_refused(tmp_path):
    folder = tiny.make(tmp_path / "model")
    (folder / "config.json").write_text('{"model_type": "mamba"}')
    with pytest.raises(ModelMissing, match="'mamba'"):
        load(str(folder), revision=None, precision="fp32", max_tokens=0, connect_timeout_s=1)


def onnx_of_tables(words: np.ndarray, types: np.ndarray) -> bytes:
    """last_hidden_state = words[input_ids] + types[token_type_ids], as ONNX's protocol buffer."""

    def varint(number: int) -> bytes:
        out = bytearray()
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        return bytes([*out, number])

    def whole(field: int, number: int) -> bytes:
        return varint(field << 3) + varint(number)

    def block(field: int, content: bytes | str) -> bytes:
        raw = content.encode() if isinstance(content, str) else content
        return varint(field << 3 | 2) + varint(len(raw)) + raw

    def tensor(name: str, array: np.ndarray) -> bytes:
        dims = b"".join(whole(1, size) for size in array.shape)
        return block(5, dims + whole(2, 1) + block(8, name) + block(9, array.astype("<f4").tobytes()))

    def value(field: int, name: str, kind: int, dims: tuple[str | int, ...]) -> bytes:
        sizes = b"".join(block(1, block(2, size) if isinstance(size, str) else whole(1, size)) for size in dims)
        return block(field, block(1, name) + block(2, block(1, whole(1, kind) + block(2, sizes))))

    def node(kind: str, inputs: tuple[str, ...], output: str) -> bytes:
        return block(1, b"".join(block(1, name) for name in inputs) + block(2, output) + block(4, kind))

    graph = (
        node("Gather", ("words", "input_ids"), "a")
        + node("Gather", ("types", "token_type_ids"), "b")
        + node("Add", ("a", "b"), "last_hidden_state")
        + block(2, "tables")
        + tensor("words", words)
        + tensor("types", types)
        + b"".join(
            value(11, name, 7, ("batch", "tokens")) for name in ("input_ids", "attention_mask", "token_type_ids")
        )
        + value(12, "last_hidden_state", 1, ("batch", "tokens", words.shape[1]))
    )
    return whole(1, 8) + block(7, graph) + block(8, block(1, "") + whole(2, 13))
