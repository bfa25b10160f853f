"""OpenAI's SDK for Python: a store, an upload, a search, answers with citations. Only the base URL is ours."""

import os

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("PENSTOCK_URL", "http://127.0.0.1:8000") + "/v1",
    api_key=os.environ.get("PENSTOCK_KEY", "none"),  # without keys any will do
)

# Documents of your own: upload, attach, wait until they are found.
store = client.vector_stores.create(name="canteen")
menu = b"# Canteen\n\nLunch is served from 11:30 to 14:00. On Fridays there is fish."
client.vector_stores.files.upload_and_poll(
    vector_store_id=store.id, file=("canteen.md", menu), attributes={"department": "kitchen"}
)

for hit in client.vector_stores.search(store.id, query="When is lunch?", max_num_results=3):
    print(f"{hit.score:.2f} {hit.filename}: {hit.content[0].text!r}")

# An answer out of several stores, with the sentences that it rests on.
answer = client.chat.completions.create(
    model="auto",
    messages=[{"role": "user", "content": "Who approves refunds up to 500 euros?"}],
    extra_body={"vector_store_ids": ["handbook", store.id]},
)
print(answer.choices[0].message.content)
for citation in answer.choices[0].message.annotations:
    print("  from", citation.file_citation["filename"], "-", citation.file_citation["quote"])

# The same with the Responses API and its file search.
response = client.responses.create(
    model="auto",
    input="What may a hotel cost a night in a capital?",
    tools=[{"type": "file_search", "vector_store_ids": ["handbook"]}],
)
print(response.output_text)

client.vector_stores.delete(store.id)
