"""What a user would otherwise write: sentence-transformers, FAISS and FastAPI, in an environment of its own."""
