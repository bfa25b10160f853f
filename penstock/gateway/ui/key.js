// The API key of this tab, where the server wants one: kept until the tab is closed, or, on wish, in this browser.

const NAME = "penstock.key";
const PREFIX_CHARS = 12; // what keys are recognised by; no secret

export const key = () => sessionStorage.getItem(NAME) || localStorage.getItem(NAME) || "";

export function keepKey(value, remembered) {
  forgetKey();
  (remembered ? localStorage : sessionStorage).setItem(NAME, value);
}

export function forgetKey() {
  sessionStorage.removeItem(NAME);
  localStorage.removeItem(NAME);
}

/** Whose conversations are shown: those of one key are not for the next. */
export const owner = () => key().slice(0, PREFIX_CHARS) || "here";
