"""Tiny random encoders in the forms that we read, and what they must answer, computed with NumPy alone.

`reference` is the published forward pass written out. Where transformers is installed,
`python tests/embed/tiny_encoders.py FOLDER` compares it, and with it the weights written here, with that.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{number}" for number in range(60)))
WIDTH, INNER, LAYERS, HEADS, POSITIONS = 32, 64, 2, 4, 48

BERT = {
    "layer": "encoder.layer.{}.",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mixed": "attention.output.dense",
    "mixed_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "outer_norm": "output.LayerNorm",
}
DISTIL = {
    "layer": "transformer.layer.{}.",
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "mixed": "attention.out_lin",
    "mixed_norm": "sa_layer_norm",
    "inner": "ffn.lin1",
    "outer": "ffn.lin2",
    "outer_norm": "output_layer_norm",
}


def make(folder: Path, *, kind: str = "bert", pooling: str = "mean_tokens", seed: int = 7) -> Path:
    """A model folder with safetensors, as it would lie on a hub."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_weights(kind, np.random.default_rng(seed)), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(_config(kind)))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": WIDTH, f"pooling_mode_{pooling}": True})
    )
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.save(str(folder / "tokenizer.json"))


def _config(kind: str) -> dict[str, object]:
    common = {"model_type": kind, "vocab_size": len(WORDS), "max_position_embeddings": POSITIONS, "pad_token_id": 0}
    if kind == "distilbert":
        return common | {"dim": WIDTH, "hidden_dim": INNER, "n_layers": LAYERS, "n_heads": HEADS, "activation": "gelu"}
    return common | {
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12 if kind == "bert" else 1e-5,
        "type_vocab_size": 2 if kind == "bert" else 1,
    }


def _weights(kind: str, random: np.random.Generator) -> dict[str, np.ndarray]:
    names = DISTIL if kind == "distilbert" else BERT
    arrays: dict[str, np.ndarray] = {}

    def put(name: str, *shape: int, around: float = 0.0) -> None:
        arrays[name] = (around + random.normal(0, 0.2, shape)).astype(np.float32)

    put("embeddings.word_embeddings.weight", len(WORDS), WIDTH)
    put("embeddings.position_embeddings.weight", POSITIONS, WIDTH)
    if kind != "distilbert":
        put("embeddings.token_type_embeddings.weight", 2 if kind == "bert" else 1, WIDTH)
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        prefix = names["layer"].format(layer)
        for part, (rows, columns) in {
            **dict.fromkeys(("query", "key", "value", "mixed"), (WIDTH, WIDTH)),
            "inner": (INNER, WIDTH),
            "outer": (WIDTH, INNER),
        }.items():
            put(f"{prefix}{names[part]}.weight", rows, columns)
            put(f"{prefix}{names[part]}.bias", rows)
        norms += [prefix + names["mixed_norm"], prefix + names["outer_norm"]]
    for norm in norms:
        put(f"{norm}.weight", WIDTH, around=1.0)
        put(f"{norm}.bias", WIDTH)
    return arrays


def reference_states(folder: Path, ids: list[int]) -> np.ndarray:
    """Token states of one text, [tokens, width]: no batch, no padding, no mask, float64."""
    config = json.loads((folder / "config.json").read_text())
    kind = config["model_type"]
    names = DISTIL if kind == "distilbert" else BERT
    arrays = {name: array.astype(np.float64) for name, array in load_file(folder / "model.safetensors").items()}
    eps = config.get("layer_norm_eps", 1e-12)
    first = 0 if kind in {"bert", "distilbert"} else config["pad_token_id"] + 1

    def linear(name: str, rows: np.ndarray) -> np.ndarray:
        return rows @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"]

    def norm(name: str, rows: np.ndarray) -> np.ndarray:
        centred = rows - rows.mean(axis=-1, keepdims=True)
        unit = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
        return unit * arrays[f"{name}.weight"] + arrays[f"{name}.bias"]

    states = arrays["embeddings.word_embeddings.weight"][ids]
    states = states + arrays["embeddings.position_embeddings.weight"][first : first + len(ids)]
    if kind != "distilbert":
        states = states + arrays["embeddings.token_type_embeddings.weight"][0]
    states = norm("embeddings.LayerNorm", states)
    for layer in range(LAYERS):
        prefix = names["layer"].format(layer)
        query, key, value = (
            linear(prefix + names[part], states).reshape(len(ids), HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        attended = linear(prefix + names["mixed"], (shares @ value).transpose(1, 0, 2).reshape(len(ids), WIDTH))
        states = norm(prefix + names["mixed_norm"], states + attended)
        inner = linear(prefix + names["inner"], states)
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        states = norm(prefix + names["outer_norm"], states + linear(prefix + names["outer"], inner))
    return states


def reference(folder: Path, text: str, *, pooling: str = "mean") -> np.ndarray:
    """The vector of one text of words that the vocabulary has."""
    ids = [2, *(WORDS.index(word) if word in WORDS else 1 for word in text.split()), 3]
    states = reference_states(folder, ids)
    row = {
        "mean": states.mean(axis=0),
        "max": states.max(axis=0),
        "cls": states[0],
        "last": states[-1],
    }[pooling]
    return row / np.linalg.norm(row)


def words(count: int, *, seed: int = 0) -> str:
    """A text of `count` words of the vocabulary."""
    return " ".join(np.random.default_rng(seed).choice(WORDS[4:], count))


def compare_with_transformers(folder: Path) -> dict[str, float]:
    """The largest difference of any token state, for each kind. Needs torch and transformers."""
    import torch
    from transformers import AutoModel

    ids = [2, 5, 17, 40, 33, 8, 3]
    worst = {}
    for kind in ("bert", "roberta", "xlm-roberta", "distilbert"):
        model = AutoModel.from_pretrained(make(folder / kind, kind=kind)).eval()
        with torch.no_grad():
            states = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).last_hidden_state
        worst[kind] = float(np.abs(states[0].numpy() - reference_states(folder / kind, ids)).max())
    return worst


if __name__ == "__main__":
    import sys

    print(compare_with_transformers(Path(sys.argv[1])))
