"""Tiny random cross-encoders, and what they must answer, computed with NumPy alone.

`python tests/rerank/tiny_cross.py FOLDER` compares the latter with transformers, where that is installed.
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

from tests.embed import tiny_encoders as tiny

PREFIX = {"bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta.", "distilbert": "distilbert."}
HEADS = {
    "bert": ("bert.pooler.dense", np.tanh, "classifier"),
    "roberta": ("classifier.dense", np.tanh, "classifier.out_proj"),
    "xlm-roberta": ("classifier.dense", np.tanh, "classifier.out_proj"),
    "distilbert": ("pre_classifier", lambda rows: np.maximum(rows, 0), "classifier"),
}


def make(folder: Path, *, kind: str = "bert", labels: int = 1, seed: int = 11) -> Path:
    """A model folder as it would lie on a hub."""
    tiny.make(folder, kind=kind, seed=seed)
    random = np.random.default_rng(seed)
    arrays = {PREFIX[kind] + name: array for name, array in load_file(folder / "model.safetensors").items()}
    dense, _, last = HEADS[kind]
    for name, shape in (
        (f"{dense}.weight", (tiny.WIDTH, tiny.WIDTH)),
        (f"{dense}.bias", (tiny.WIDTH,)),
        (f"{last}.weight", (labels, tiny.WIDTH)),
        (f"{last}.bias", (labels,)),
    ):
        arrays[name] = random.normal(0, 0.3, shape).astype(np.float32)
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(tiny.WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    second = 1 if kind == "bert" else 0
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair=f"[CLS] $A [SEP] $B:{second} [SEP]:{second}",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def ids_of(query: str, passage: str) -> tuple[list[int], list[int]]:
    """Token ids of the pair, and which text each is of."""
    first = [2, *_words(query), 3]
    second = [*_words(passage), 3]
    return first + second, [0] * len(first) + [1] * len(second)


def _words(text: str) -> list[int]:
    return [tiny.WORDS.index(word) if word in tiny.WORDS else 1 for word in text.split()]


def reference(folder: Path, query: str, passage: str) -> float:
    """The pair's score, in 0..1: the published forward pass, one pair, no batch, no padding, float64."""
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    arrays = {name: array.astype(np.float64) for name, array in load_file(folder / "model.safetensors").items()}
    ids, types = ids_of(query, passage)
    dense, activation, last = HEADS[kind]
    state = _states(folder, kind, arrays, ids, types if kind == "bert" else [0] * len(ids))[0]
    hidden = activation(state @ arrays[f"{dense}.weight"].T + arrays[f"{dense}.bias"])
    return 1 / (1 + math.exp(-float((hidden @ arrays[f"{last}.weight"].T + arrays[f"{last}.bias"])[0])))


def _states(folder: Path, kind: str, arrays: dict, ids: list[int], types: list[int]) -> np.ndarray:
    # tiny_encoders' forward pass knows texts of type 0 only: fold each token's type into a word of its own.
    prefix = PREFIX[kind]
    plain = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    plain = {name: array for name, array in plain.items() if not name.startswith("pooler.")}
    if kind == "bert":
        table = plain["embeddings.token_type_embeddings.weight"]
        words = plain["embeddings.word_embeddings.weight"]
        plain["embeddings.word_embeddings.weight"] = np.concatenate([words, words + table[1] - table[0]])
        ids = [word + which * len(words) for word, which in zip(ids, types, strict=True)]
    copy = folder / "reference"
    copy.mkdir(exist_ok=True)
    save_file(plain, copy / "model.safetensors")
    (copy / "config.json").write_text((folder / "config.json").read_text())
    return tiny.reference_states(copy, ids)


def compare_with_transformers(folder: Path) -> dict[str, float]:
    """The difference of one pair's score, for each kind. Needs torch and transformers."""
    import torch
    from transformers import AutoModelForSequenceClassification

    query, passage = "w1 w2 w3", "w9 w8 w7 w6"
    ids, types = ids_of(query, passage)
    worst = {}
    for kind in HEADS:
        model = AutoModelForSequenceClassification.from_pretrained(make(folder / kind, kind=kind), num_labels=1).eval()
        more = {"token_type_ids": torch.tensor([types])} if kind == "bert" else {}
        with torch.no_grad():
            logit = float(model(input_ids=torch.tensor([ids]), **more).logits[0, 0])
        worst[kind] = abs(1 / (1 + math.exp(-logit)) - reference(folder / kind, query, passage))
    return worst


if __name__ == "__main__":
    import sys

    print(compare_with_transformers(Path(sys.argv[1])))
