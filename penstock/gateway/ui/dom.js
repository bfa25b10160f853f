// What every part of the page uses: finding and making nodes, and saying something to a screen reader.
// Text out of answers and documents only ever becomes text nodes: no markup of theirs is rendered, nothing is fetched.

export const $ = (id) => document.getElementById(id);

export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** A button that does something. */
export const button = (className, label, onclick, more = {}) => el("button", { type: "button", className, onclick, ...more }, label);

export const say = (text) => { $("status").textContent = text; };

export const many = (number, one, more = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : more}`;
