"""sentence-transformers as a user would write it, run by benchmarks/encode.py in an environment of its own."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from sentence_transformers import SentenceTransformer


def main() -> None:
    model = SentenceTransformer(sys.argv[1], device="cpu")
    for line in sys.stdin:
        request = json.loads(line)
        texts = request["texts"]
        began = time.perf_counter()
        if request["do"] == "single":
            times = []
            for text in texts:
                began = time.perf_counter()
                model.encode([text], normalize_embeddings=True)
                times.append((time.perf_counter() - began) * 1e3)
            answer: dict[str, float] | float = {
                "p50_ms": round(float(np.percentile(times, 50)), 2),
                "p99_ms": round(float(np.percentile(times, 99)), 2),
            }
        else:
            vectors = model.encode(texts, normalize_embeddings=True)
            answer = len(texts) / (time.perf_counter() - began)
            if request["do"] == "vectors":
                np.save(request["file"], vectors)
        print(json.dumps(answer), flush=True)


main()
