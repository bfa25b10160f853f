// The page's few drawings, as lines on a field of 24 by 24.

const SVG = "http://www.w3.org/2000/svg";
const LINES = {
  menu: "M4 7h16M4 12h16M4 17h16",
  plus: "M12 5v14M5 12h14",
  papers: "M8 4h8l4 4v12H8zM16 4v4h4M4 8v12a0 0 0 0 0 0 0h2",
  left: "M14 6l-6 6 6 6",
  right: "M10 6l6 6-6 6",
  cross: "M6 6l12 12M18 6L6 18",
  pen: "M4 20l4-1L19 8l-3-3L5 16zM14 7l3 3",
  bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10 11v5M14 11v5",
  again: "M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  up: "M12 17V5M6 10l6-6 6 6M4 20h16",
  out: "M9 6H5v13h13v-4M13 5h6v6M19 5l-9 9",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [attribute, value] of Object.entries({ viewBox: "0 0 24 24", width: 18, height: 18, class: "icon", "aria-hidden": "true" })) svg.setAttribute(attribute, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", LINES[name]);
  svg.append(path);
  return svg;
}
