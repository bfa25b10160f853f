"""From a model's name to everything that is needed to encode with it on this machine."""

from __future__ import annotations

import openvino as ov

from penstock.embed.graph import build, fingerprint
from penstock.embed.recipe import Recipe, read_recipe
from penstock.models.described import read_json
from penstock.models.engine import Precision, chosen_precision
from penstock.models.graph import Graph
from penstock.models.locate import Located, locate
from penstock.models.tokens import EncoderTokenizer


class Loaded:
    """A model that is found, read and ready to be compiled."""

    def __init__(
        self,
        *,
        found: Located,
        recipe: Recipe,
        tokenizer: EncoderTokenizer,
        graph: Graph,
        core: ov.Core,
        precision: str,
    ) -> None:
        self.found = found
        self.recipe = recipe
        self.tokenizer = tokenizer
        self.graph = graph
        self.core = core
        self.precision = precision
        self.dimension = graph.dimension
        self.pad_id = int(read_json(found.folder / "config.json").get("pad_token_id") or 0)
        digits = fingerprint(found, recipe, window=tokenizer.max_tokens, int8=precision == "int8")
        self.identity = f"{found.name}@{digits}"


def load(
    model: str,
    *,
    revision: str | None,
    precision: Precision,
    max_tokens: int,
    connect_timeout_s: float,
) -> Loaded:
    """Find and read. Blocks. Raises ModelMissing."""
    found = locate(model, revision=revision, connect_timeout_s=connect_timeout_s)
    recipe = read_recipe(found.folder, name=found.name)
    window = min(max_tokens, recipe.max_tokens) if max_tokens else recipe.max_tokens
    tokenizer = EncoderTokenizer(file=found.folder / "tokenizer.json", max_tokens=window)
    tokenizer.start()
    core = ov.Core()
    chosen = chosen_precision(core, precision)
    graph = build(found, recipe, core=core, int8=chosen == "int8")
    return Loaded(found=found, recipe=recipe, tokenizer=tokenizer, graph=graph, core=core, precision=chosen)
