"""LlamaIndex with its OpenAI embedding: an index of LlamaIndex's, encoded by Penstock."""

import os

from llama_index.core import Document, VectorStoreIndex
from llama_index.embeddings.openai import OpenAIEmbedding

embedding = OpenAIEmbedding(
    model_name="auto",
    api_base=os.environ.get("PENSTOCK_URL", "http://127.0.0.1:8000") + "/v1",
    api_key=os.environ.get("PENSTOCK_KEY", "none"),  # without keys any will do
)
texts = ["Lunch is served from 11:30 to 14:00.", "The car park opens at six.", "On Fridays there is fish."]
index = VectorStoreIndex.from_documents([Document(text=text) for text in texts], embed_model=embedding)

for node in index.as_retriever(similarity_top_k=1).retrieve("When can I eat?"):
    print(f"{node.score:.2f} {node.text}")
