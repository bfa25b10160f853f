// The main path with OpenAI's SDK for Node, as it is. Prints what it saw; the test says whether that is right.
import OpenAI, { toFile } from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "none", maxRetries: 0 });
const seen = {};

const text = "A penstock is a pipe.\nIt carries water under pressure to a turbine.\n";
const file = await client.files.create({ file: await toFile(Buffer.from(text), "penstock.txt"), purpose: "assistants" });
const upload = await client.uploads.create({
  filename: "b.txt", bytes: text.length, mime_type: "text/plain", purpose: "assistants",
});
const part = await client.uploads.parts.create(upload.id, { data: await toFile(Buffer.from(text), "blob") });
seen.upload = (await client.uploads.complete(upload.id, { part_ids: [part.id] })).status;

const store = await client.vectorStores.create({ name: "hydro" });
const attached = await client.vectorStores.files.createAndPoll(store.id, { file_id: file.id }, { pollIntervalMs: 20 });
seen.attached = attached.status;
seen.stores = [];
for await (const each of client.vectorStores.list({ limit: 1 })) seen.stores.push(each.name);
const hits = await client.vectorStores.search(store.id, { query: "What is a penstock?" });
seen.hit = hits.data[0].filename;

const messages = [{ role: "user", content: "What is a penstock?" }];
const whole = await client.chat.completions.create({ model: "auto", messages, vector_store_ids: [store.id] });
seen.chat = whole.choices[0].message.content;
seen.streamed = "";
const stream = await client.chat.completions.create({
  model: "auto", messages, vector_store_ids: [store.id], stream: true,
});
for await (const chunk of stream) seen.streamed += chunk.choices[0]?.delta?.content ?? "";

const tools = [{ type: "file_search", vector_store_ids: [store.id] }];
const asked = { model: "auto", input: "What is a penstock?", tools, include: ["file_search_call.results"] };
const response = await client.responses.create(asked);
seen.response = response.output_text;
seen.results = response.output[0].results.length;
const events = [];
const answering = client.responses.stream({ ...asked, previous_response_id: response.id });
for await (const event of answering) events.push(event.type);
seen.events = [events[0], events.at(-1)];
seen.final = (await answering.finalResponse()).previous_response_id === response.id;
seen.items = (await client.responses.inputItems.list(response.id)).data[0].content[0].text;
seen.kept = (await client.responses.retrieve(response.id)).output_text;
await client.responses.delete(response.id);

seen.embedding = (await client.embeddings.create({ model: "auto", input: "one" })).data[0].embedding.length;
seen.models = (await client.models.list()).data.map((model) => model.id);
try {
  await client.chat.completions.create({ model: "auto", messages, n: 2 });
} catch (error) {
  seen.error = [error.status, error.code, error.param];
}
await client.vectorStores.delete(store.id);
seen.deleted = (await client.files.delete(file.id)).deleted;
process.stdout.write(JSON.stringify(seen));
