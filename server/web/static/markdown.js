// Renders a model's Markdown. marked splits the text into tokens. Each token becomes an element whose content is set as
// text. HTML in an answer is shown as source, images are never fetched, and only plain links can be followed: a model's
// text must not run, load or send anything.

import { lexer } from "./marked.js";
import { element } from "./dom.js";

const maxDepth = 40; // of lists and quotes; deeper ones become plain text

/** markdown returns the nodes of a text. */
export function markdown(text) {
  let tokens;
  try {
    tokens = lexer(text, { gfm: true, breaks: true });
  } catch {
    return [element("p", { dir: "auto" }, text)]; // nested too deeply for the lexer
  }
  return blocks(lowered(tokens), 0);
}

/** lowered shifts headings so that the highest becomes h4, one level below the page's own headings. */
function lowered(tokens) {
  const highest = Math.min(...tokens.filter((token) => token.type === "heading").map((token) => token.depth));
  return tokens.map((token) => (token.type === "heading" ? { ...token, depth: 4 + token.depth - highest } : token));
}

const blocks = (tokens, depth) => tokens.map((token) => block(token, depth + 1)).filter((node) => node !== null);

function block(token, depth) {
  if (depth > maxDepth) return document.createTextNode(token.raw);
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading":
      return element(`h${Math.min(token.depth, 6)}`, { dir: "auto" }, inlines(token.tokens, depth));
    case "paragraph":
      return element("p", { dir: "auto" }, inlines(token.tokens, depth));
    case "code":
      return codeBlock(token);
    case "blockquote":
      return element("blockquote", { dir: "auto" }, blocks(token.tokens, depth));
    case "list":
      return list(token, depth);
    case "table":
      return table(token, depth);
    case "hr":
      return element("hr");
    case "text": // of a list item
      return element("span", {}, token.tokens ? inlines(token.tokens, depth) : plain(token.text));
    default: // HTML, and token types of later versions of marked
      return element("p", { dir: "auto" }, token.raw.trimEnd());
  }
}

function codeBlock(token) {
  const copy = element("button", { type: "button", class: "copy quiet" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(token.text);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Not allowed";
    }
  });
  const code = element("pre", { tabindex: "0", role: "region", "aria-label": "Code" }, element("code", {}, token.text));
  return element("div", { class: "code" }, copy, code);
}

function list(token, depth) {
  const start = token.ordered && token.start !== 1 ? token.start : null;
  const items = token.items.map((item) => {
    const mark = item.task ? (item.checked ? "☑ " : "☐ ") : null;
    return element("li", {}, mark, blocks(item.tokens.filter((inner) => inner.type !== "checkbox"), depth));
  });
  return element(token.ordered ? "ol" : "ul", { start, dir: "auto" }, items);
}

function table(token, depth) {
  const cell = (name, inner) => element(name, { class: inner.align ? `align-${inner.align}` : null, scope: name === "th" ? "col" : null }, inlines(inner.tokens, depth));
  const head = element("thead", {}, element("tr", {}, token.header.map((inner) => cell("th", inner))));
  const body = element("tbody", {}, token.rows.map((row) => element("tr", {}, row.map((inner) => cell("td", inner)))));
  return element("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table" }, element("table", { dir: "auto" }, head, body));
}

const inlines = (tokens, depth) => (tokens ?? []).map((token) => inline(token, depth + 1));

function inline(token, depth) {
  if (depth > maxDepth) return token.raw;
  switch (token.type) {
    case "strong":
      return element("strong", {}, inlines(token.tokens, depth));
    case "em":
      return element("em", {}, inlines(token.tokens, depth));
    case "del":
      return element("del", {}, inlines(token.tokens, depth));
    case "codespan":
      return element("code", {}, token.text);
    case "br":
      return element("br");
    case "link":
      return link(token.href, inlines(token.tokens, depth));
    case "image": // fetching it could leak the conversation to its server
      return link(token.href, [plain(token.text || token.href)]);
    case "text":
      return token.tokens ? element("span", {}, inlines(token.tokens, depth)) : plain(token.text);
    case "escape":
      return token.text;
    default:
      return token.raw;
  }
}

/** link returns a link if its URL is http, https or mailto, otherwise only its text. */
function link(href, children) {
  let url;
  try {
    url = new URL(href);
  } catch {
    return element("span", {}, children);
  }
  if (!["http:", "https:", "mailto:"].includes(url.protocol)) return element("span", {}, children);
  return element("a", { href: url.href, rel: "noopener noreferrer nofollow", target: "_blank" }, children);
}

const entities = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&nbsp;": " " };

/** plain decodes the few entities that models write. The result is still only text. */
const plain = (text) => text.replace(/&(?:amp|lt|gt|quot|#39|nbsp);/g, (entity) => entities[entity]);
