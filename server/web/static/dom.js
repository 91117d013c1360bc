// Building elements. Text only ever becomes text: nothing here, or anywhere in this page, reads a string as HTML.

const svgSpace = "http://www.w3.org/2000/svg";

/** byId finds an element of index.html. */
export const byId = (id) => document.getElementById(id);

/** element makes an element with attributes and children; strings become text nodes, null and false are left out. */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** svg makes an element of a drawing. */
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

/** announce tells people who hear the page what others see. A text that differs in its figures alone is not repeated. */
export function announce(text) {
  const stage = text.replace(/\d+/g, "");
  const node = byId("announce");
  if (node.dataset.stage === stage) return;
  node.dataset.stage = stage;
  node.textContent = text;
}

/** statusLine shows what the server says of its progress as a sentence, and as a bar when there is a percentage in it. */
export function statusLine(text) {
  const share = /(\d{1,3}) %/.exec(text)?.[1];
  const bar = share === undefined ? null : element("progress", { max: 100, value: share, "aria-label": "Progress" });
  return [element("span", {}, text.charAt(0).toUpperCase() + text.slice(1)), bar].filter(Boolean);
}
