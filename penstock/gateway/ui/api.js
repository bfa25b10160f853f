// Calls of the server. What goes wrong is a Problem, which knows what the server said and when to try again.

import { key } from "./key.js";

export class Problem extends Error {
  constructor({ status = 0, code = "", message = "", request = "", retryAfterS = 0 }) {
    super(message);
    Object.assign(this, { status, code, request, retryAfterS });
  }
}

/** The server's answer, once its head is there. */
export async function open(method, path, { body, signal, as = key() } = {}) {
  const headers = { ...authorization(as), ...(body === undefined ? {} : { "Content-Type": "application/json" }) };
  let response;
  try {
    response = await fetch(path, { method, signal, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ message: "The server cannot be reached." });
  }
  if (!response.ok) throw refused(problemOf(response.status, (name) => response.headers.get(name), await response.text()));
  return response;
}

/** The JSON of its answer. */
export const call = async (method, path, options) => (await open(method, path, options)).json();

export const authorization = (as = key()) => (as ? { Authorization: `Bearer ${as}` } : {});

/** Tells the page that a key is needed, where that is what went wrong. */
export function refused(problem) {
  if (problem.status === 401) document.dispatchEvent(new CustomEvent("penstock:key-needed", { detail: problem }));
  return problem;
}

export function problemOf(status, header, text) {
  const about = { status, request: header("x-request-id") || "", retryAfterS: Number(header("retry-after")) || 0 };
  try {
    const { message, code } = JSON.parse(text).error;
    return new Problem({ ...about, message, code });
  } catch {
    return new Problem({ ...about, message: `The server answered ${status}.` }); // something between us and the server spoke
  }
}

const part = encodeURIComponent;
export const paths = {
  stores: "/v1/vector_stores",
  store: (id) => `/v1/vector_stores/${part(id)}`,
  files: (id) => `/v1/vector_stores/${part(id)}/files`,
  file: (id, file) => `/v1/vector_stores/${part(id)}/files/${part(file)}`,
  content: (id, file) => `/v1/vector_stores/${part(id)}/files/${part(file)}/content`,
  upload: "/v1/files",
  original: (file) => `/v1/files/${part(file)}`,
};
