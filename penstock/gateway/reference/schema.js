// JSON schemas for people: what kind of value, which fields, and an example to begin with.
import { el } from "/ui/dom.js";

const DEEPEST = 6;

export const resolved = (schema, document) => {
  let found = schema;
  for (let hops = 0; found?.$ref && hops < 8; hops += 1) {
    found = found.$ref.slice(2).split("/").reduce((at, part) => at?.[part], document);
  }
  return found ?? {};
};

const choices = (schema) => schema.anyOf ?? schema.oneOf;
const withoutNull = (schema) => (choices(schema) ?? []).filter((each) => each.type !== "null");

/** In a few words. */
export function kind(schema, document) {
  const found = resolved(schema, document);
  if (choices(found)) return withoutNull(found).map((each) => kind(each, document)).join(" or ");
  if (found.enum) return found.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (found.type === "array") return `list of ${kind(found.items ?? {}, document)}`;
  if (found.type === "object") return found.title ?? "object";
  const limits = [];
  if ("minimum" in found) limits.push(`≥ ${found.minimum}`);
  if ("maximum" in found) limits.push(`≤ ${found.maximum}`);
  if ("exclusiveMinimum" in found) limits.push(`> ${found.exclusiveMinimum}`);
  if ("maxLength" in found) limits.push(`up to ${found.maxLength} characters`);
  return [found.type ?? "any value", ...limits].join(", ");
}

/** The struct inside: of a field, of a list's items; of several, each. */
function structs(schema, document) {
  const found = resolved(schema, document);
  if (choices(found)) return withoutNull(found).flatMap((each) => structs(each, document));
  if (found.type === "array") return structs(found.items ?? {}, document);
  return found.properties ? [found] : [];
}

export function fields(schema, document, depth = 0) {
  const list = el("ul", { className: "fields" });
  const found = structs(schema, document);
  if (found.length > 1) { // one of several: each folded, under its name
    for (const struct of found) {
      const about = el("span", { className: "about" }, ` ${struct.description ?? ""}`);
      const item = el("li", {}, el("span", { className: "name" }, struct.properties.type?.enum?.[0] ?? struct.title), about);
      list.append(item);
      item.append(unfolding(struct, document, depth));
    }
    return list;
  }
  for (const struct of found) {
    for (const [name, inner] of Object.entries(struct.properties)) {
      const whole = { ...resolved(inner, document), ...inner };
      const item = el("li", {}, el("span", { className: "name" }, name), el("span", { className: "kind" }, kind(inner, document)));
      if (struct.required?.includes(name)) item.append(el("span", { className: "must" }, "required"));
      const about = whole.description ?? (choices(whole) ? withoutNull(whole)[0]?.description : undefined);
      if (about) item.append(el("div", { className: "about" }, about));
      if (depth < DEEPEST && structs(inner, document).length) item.append(unfolding(inner, document, depth));
      list.append(item);
    }
  }
  return list;
}

/** Made when it is opened: structs may be within themselves. */
function unfolding(schema, document, depth) {
  const folded = el("details", {}, el("summary", {}, "fields"));
  folded.addEventListener("toggle", () => {
    if (folded.open && folded.childElementCount === 1) folded.append(fields(schema, document, depth + 1));
  });
  return folded;
}

/** What could be sent: the required fields only. */
export function example(schema, document, depth = 0) {
  const found = resolved(schema, document);
  if (choices(found)) return example(withoutNull(found)[0] ?? {}, document, depth);
  if (found.enum) return found.enum[0];
  if (found.type === "array") return depth < DEEPEST ? [example(found.items ?? {}, document, depth + 1)] : [];
  if (found.type === "integer" || found.type === "number") return Math.max(1, found.minimum ?? 1);
  if (found.type === "boolean") return true;
  if (found.type === "string") return found.title ?? "text";
  const wanted = (found.required ?? []).filter((name) => found.properties?.[name]);
  return Object.fromEntries(wanted.map((name) => [name, example(found.properties[name], document, depth + 1)]));
}
