// The official OpenAI SDK for JavaScript: the same calls, another base URL.
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: `${process.env.PENSTOCK_URL ?? "http://127.0.0.1:8000"}/v1`,
  apiKey: process.env.PENSTOCK_KEY ?? "none", // without keys any will do
});

const stores = await client.vectorStores.list();
const store = stores.data.find((one) => one.name === "handbook");

const found = await client.vectorStores.search(store.id, { query: "Who approves a refund?", max_num_results: 2 });
for (const hit of found.data) console.log(hit.score.toFixed(2), hit.filename);

const stream = await client.chat.completions.create({
  model: "auto",
  messages: [{ role: "user", content: "Who approves refunds up to 500 euros?" }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
console.log();

const response = await client.responses.create({
  model: "auto",
  input: "Within which time is a lost laptop reported?",
  tools: [{ type: "file_search", vector_store_ids: [store.id] }],
});
console.log(response.output_text);
