"""Retrieval as a tutorial has it.

python rag.py ingest corpus.jsonl index/
INDEX=index/ uvicorn rag:app
"""

import gzip
import json
import os
import sys
import time
from pathlib import Path

import faiss
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

MODEL = os.environ.get("MODEL", "sentence-transformers/all-MiniLM-L6-v2")

model = SentenceTransformer(MODEL, device="cpu")


def ingest(corpus: Path, folder: Path) -> None:
    began = time.perf_counter()
    opener = gzip.open if corpus.suffix == ".gz" else open
    with opener(corpus, "rt") as stream:
        documents = [json.loads(line) for line in stream]
    texts = [f"{document.get('title', '')}\n{document['text']}" for document in documents]
    vectors = model.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    folder.mkdir(parents=True, exist_ok=True)
    faiss.write_index(index, str(folder / "index.faiss"))
    (folder / "documents.json").write_text(json.dumps(documents))
    print(json.dumps({"documents": len(documents), "seconds": time.perf_counter() - began}))


class Query(BaseModel):
    query: str
    k: int = 10


app = FastAPI()
if "INDEX" in os.environ:
    index = faiss.read_index(str(Path(os.environ["INDEX"]) / "index.faiss"))
    documents = json.loads((Path(os.environ["INDEX"]) / "documents.json").read_text())


@app.get("/health")
def health() -> dict:
    return {"status": "ok"}


@app.post("/search")
def search(query: Query) -> dict:
    vector = model.encode([query.query], normalize_embeddings=True, show_progress_bar=False)
    scores, places = index.search(vector, query.k)
    return {
        "results": [
            {"id": documents[place]["_id"], "score": float(score), "text": documents[place]["text"]}
            for score, place in zip(scores[0], places[0], strict=True)
            if place >= 0
        ]
    }


if __name__ == "__main__":
    assert sys.argv[1] == "ingest"
    ingest(Path(sys.argv[2]), Path(sys.argv[3]))
