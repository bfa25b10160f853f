"""LangChain with its OpenAI classes: the encoder for a store of LangChain's, and answers out of Penstock's."""

import os

from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

url = os.environ.get("PENSTOCK_URL", "http://127.0.0.1:8000") + "/v1"
key = os.environ.get("PENSTOCK_KEY", "none")  # without keys any will do

# Texts as they are: check_embedding_ctx_length would send OpenAI's token ids instead.
embeddings = OpenAIEmbeddings(model="auto", base_url=url, api_key=key, check_embedding_ctx_length=False)
store = InMemoryVectorStore.from_texts(
    ["Lunch is served from 11:30 to 14:00.", "The car park opens at six.", "On Fridays there is fish."], embeddings
)
for document in store.as_retriever(search_kwargs={"k": 1}).invoke("When can I eat?"):
    print(document.page_content)

chat = ChatOpenAI(model="auto", base_url=url, api_key=key, extra_body={"vector_store_ids": ["handbook"]})
print(chat.invoke("Who approves refunds up to 500 euros?").content)
for chunk in chat.stream("What may a hotel cost a night?"):
    print(chunk.content, end="", flush=True)
print()
