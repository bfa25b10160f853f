// Where an answer's time went, as bars; and the tokens it took.

import { el, many } from "./dom.js";
import { milliseconds } from "./units.js";

export function timing(turn) {
  const stages = Object.entries(turn.info.timings_ms);
  const total = Math.max(turn.totalMs, stages.reduce((sum, [, ms]) => sum + ms, 0), 0.001);
  const rows = [];
  let from = 0;
  const row = (name, start, ms) => {
    const bar = el("i", { className: ["embed", "search", "rerank", "generate"].includes(name) ? name : "" });
    bar.style.left = `${(100 * start) / total}%`;
    bar.style.width = `${(100 * ms) / total}%`;
    rows.push(el("dt", {}, name), el("dd", {}, el("span", { className: "track", "aria-hidden": "true" }, bar), el("span", { className: "ms" }, milliseconds(ms))));
  };
  for (const [name, ms] of stages) { row(name, from, ms); from += ms; }
  row("first word seen", 0, turn.firstMs);
  row("whole answer", 0, turn.totalMs);
  return el("details", { className: "timing" }, el("summary", {}, `Answered in ${milliseconds(turn.totalMs)}`), el("dl", { className: "bars" }, ...rows), el("p", { className: "quiet" }, `${tokens(turn.usage)}${turn.info.reason ? `Answered by ${turn.info.model}: ${turn.info.reason}.` : ""}`));
}

function tokens(usage) {
  if (!usage || !usage.total_tokens) return "";
  const cached = usage.prompt_tokens_details ? usage.prompt_tokens_details.cached_tokens : 0;
  return `${many(usage.prompt_tokens, "token")} read${cached ? ` (${cached.toLocaleString("en")} from the engine's cache)` : ""}, ${usage.completion_tokens.toLocaleString("en")} written. `;
}
