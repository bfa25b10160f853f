// The form under an operation that sends a request to this very server, and shows what comes back as it comes.
import { el } from "/ui/dom.js";
import { key } from "/ui/key.js";
import { example, resolved } from "./schema.js";

const MOST_SHOWN = 200_000;

export function attempt(path, method, operation, document) {
  const inputs = new Map();
  const form = el("form", { className: "attempt" });
  const field = (id, label, input) => {
    input.id = `${operation.operationId}-${id}`;
    form.append(el("div", {}, el("label", { htmlFor: input.id }, label), input));
    return input;
  };
  for (const parameter of operation.parameters) {
    const label = `${parameter.name} (${parameter.in})`;
    inputs.set(parameter, field(parameter.name, label, el("input", { type: "text", required: parameter.required, autocomplete: "off" })));
  }
  const content = operation.requestBody?.content ?? {};
  const json = content["application/json"];
  const body = json ? field("body", "Body", el("textarea", { spellcheck: false, value: JSON.stringify(example(json.schema, document), null, 2) })) : null;
  const parts = content["multipart/form-data"] ? formFields(resolved(content["multipart/form-data"].schema, document), field) : null;

  const send = el("button", { type: "submit", className: "main" }, "Send");
  const stop = el("button", { type: "button", className: "plain", hidden: true }, "Stop");
  const status = el("span", { className: "quiet", role: "status" });
  const answer = el("pre", { className: "answer", hidden: true, tabIndex: 0, ariaLabel: "Answer" });
  form.append(el("div", { className: "row" }, send, stop, status), answer);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const controller = new AbortController();
    stop.onclick = () => controller.abort();
    [send.disabled, stop.hidden, answer.hidden, answer.textContent, status.textContent] = [true, false, false, "", "…"];
    const began = performance.now();
    try {
      const response = await fetch(address(path, inputs), {
        method: method.toUpperCase(), headers: headers(inputs, body), body: body ? body.value : filled(parts), signal: controller.signal,
      });
      await show(response, answer);
      status.textContent = `${response.status} · ${Math.round(performance.now() - began)} ms · ${response.headers.get("x-request-id") ?? ""}`;
    } catch (error) {
      status.textContent = controller.signal.aborted ? "Stopped." : String(error.message ?? error);
    }
    [send.disabled, stop.hidden] = [false, true];
  });
  return form;
}

const formFields = (schema, field) => Object.entries(schema.properties ?? {}).map(([name, inner]) => {
  const isFile = inner.format === "binary";
  const input = isFile ? el("input", { type: "file" }) : el("input", { type: "text", value: inner.enum?.[0] ?? "", autocomplete: "off" });
  return [name, field(name, name, input)];
});

function filled(parts) {
  if (!parts) return undefined;
  const form = new FormData();
  for (const [name, input] of parts) form.append(name, input.files ? input.files[0] ?? "" : input.value);
  return form;
}

function address(path, inputs) {
  let filledPath = path;
  const query = new URLSearchParams();
  for (const [parameter, input] of inputs) {
    if (parameter.in === "path") filledPath = filledPath.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    if (parameter.in === "query" && input.value) query.append(parameter.name, input.value);
  }
  return query.size ? `${filledPath}?${query}` : filledPath;
}

function headers(inputs, body) {
  const found = new Headers();
  if (body) found.set("Content-Type", "application/json");
  if (key()) found.set("Authorization", `Bearer ${key()}`);
  for (const [parameter, input] of inputs) if (parameter.in === "header" && input.value) found.set(parameter.name, input.value);
  return found;
}

/** JSON is set out; what streams is shown as it comes. */
async function show(response, answer) {
  const decoder = new TextDecoder();
  let text = "";
  for (let reader = response.body.getReader(), piece = await reader.read(); !piece.done; piece = await reader.read()) {
    text += decoder.decode(piece.value, { stream: true });
    if (text.length > MOST_SHOWN) { await reader.cancel(); text = `${text.slice(0, MOST_SHOWN)}\n…`; break; }
    answer.textContent = text;
  }
  if (response.headers.get("content-type")?.startsWith("application/json")) {
    try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* cut off: shown as it is */ }
  }
  answer.textContent = text;
}
