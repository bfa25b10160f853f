// What went wrong, in people's words, with what to do about it.

import { button, el } from "./dom.js";

/** `strong` says what it is, `text` what to do; `retryS` is when trying again makes sense, null where it does not. */
export function words(problem) {
  const said = `${problem.message}${problem.request ? ` (${problem.request})` : ""}`;
  const { status } = problem;
  if (status === 0 && !problem.code) return { strong: "The server cannot be reached.", text: "Is it still running? Nothing is lost: try again when it is.", retryS: 0 };
  if (status === 401) return { strong: "A key is needed.", text: "Sign in with your API key, then try again.", retryS: 0 };
  if (status === 403) return { strong: "Your key may not do this.", text: `${problem.message} Ask whoever gave you the key.`, retryS: null };
  if (status === 404) return { strong: "It is not there any more.", text: said, retryS: null };
  if (status === 413) return { strong: "That is too large.", text: said, retryS: null };
  if (status === 429) return { strong: "You have asked a lot in a short time.", text: "Wait a moment, then try again.", retryS: problem.retryAfterS || 1 };
  if (status === 503) return { strong: "The server is busy or starting.", text: said, retryS: problem.retryAfterS || 1 };
  if (status === 504) return { strong: "The time ran out.", text: "Ask for less, or from fewer stores; or try again.", retryS: 0 };
  if (problem.code === "broken_off") return { strong: "The answer broke off.", text: `${said} What was said so far stays; it is not the whole answer.`, retryS: 0 };
  if (status >= 500) return { strong: "Something went wrong on the server.", text: said, retryS: 0 };
  return { strong: "That did not work.", text: said, retryS: null };
}

/** A box that says so. `retry`, where given, can be clicked as soon as it makes sense, and counts down until then. */
export function trouble(problem, retry) {
  const { strong, text, retryS } = words(problem);
  const box = el("div", { className: "say bad", role: "alert" }, el("p", {}, el("strong", {}, strong), " ", text));
  if (retry && retryS !== null) box.append(countdown(retryS, retry));
  return box;
}

function countdown(seconds, retry) {
  const again = button("again", "Try again", () => retry());
  let left = Math.ceil(seconds);
  const show = () => {
    again.disabled = left > 0;
    again.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left-- > 0) setTimeout(show, 1000);
  };
  show();
  return again;
}
