// One question to the server, and its answer as it comes, written into a turn.

import { open, Problem } from "./api.js";
import { events } from "./events.js";

const TURNS_SENT = 8; // of the conversation so far; engines have a budget

/** Runs to the answer's end. `changed` is called after each piece. Raises Problem, or an AbortError when stopped. */
export async function ask(turn, earlier, { model, storeIds, signal, changed }) {
  const began = performance.now();
  const body = { stream: true, stream_options: { include_usage: true }, messages: [...messagesOf(earlier), { role: "user", content: turn.asked }] };
  if (model) body.model = model;
  if (storeIds) body.vector_store_ids = storeIds;
  const response = await open("POST", "/v1/chat/completions", { body, signal });
  try {
    if (await follow(turn, response, began, changed)) return;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ code: "broken_off", message: error.message, request: response.headers.get("x-request-id") });
  }
  throw new Problem({ code: "broken_off", message: "The connection ended before it was complete.", request: response.headers.get("x-request-id") });
}

async function follow(turn, response, began, changed) {
  for await (const { name, data } of events(response)) {
    if (data === "[DONE]") {
      turn.totalMs = performance.now() - began;
      return turn.info !== null;
    }
    const chunk = JSON.parse(data);
    if (name === "error" || chunk.error) throw new Error(chunk.error.message);
    const delta = chunk.choices[0] ? chunk.choices[0].delta : {};
    if (delta.content) {
      turn.firstMs = turn.firstMs || performance.now() - began;
      turn.text += delta.content;
      changed();
    }
    if (delta.annotations) turn.annotations = delta.annotations;
    if (chunk.penstock) turn.info = chunk.penstock;
    if (chunk.usage) turn.usage = chunk.usage;
  }
  return false;
}

function messagesOf(earlier) {
  return earlier.filter((turn) => turn.state === "done" && turn.text).slice(-TURNS_SENT)
    .flatMap((turn) => [{ role: "user", content: turn.asked }, { role: "assistant", content: turn.text }]);
}
