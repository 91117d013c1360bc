// Builds elements. Text stays text: nothing in this page parses a string as HTML.

const svgSpace = "http://www.w3.org/2000/svg";

/** byId returns an element of index.html. */
export const byId = (id) => document.getElementById(id);

/** element returns an element with attributes and children. Strings become text nodes; null and false are skipped. */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** svg returns an SVG element. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(svgSpace, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** announce makes screen readers read a text. It skips a text that differs from the last one only in its numbers. */
export function announce(text) {
  const stage = text.replace(/\d+/g, "");
  const node = byId("announce");
  if (node.dataset.stage === stage) return;
  node.dataset.stage = stage;
  node.textContent = text;
}

/** statusLine returns the server's progress as a sentence, and as a bar if it holds a percentage. */
export function statusLine(text) {
  const share = /(\d{1,3})%/.exec(text)?.[1];
  const bar = share === undefined ? null : element("progress", { max: 100, value: share, "aria-label": "Progress" });
  return [element("span", {}, text.charAt(0).toUpperCase() + text.slice(1)), bar].filter(Boolean);
}
