// The cost card: a variant's size, what pruning cost and what it gained.

import { element } from "./dom.js";
import { percent } from "./ratio.js";

const known = (value) => typeof value === "number" && Number.isFinite(value);

/** count writes a large number in millions or thousands. */
export function count(value) {
  if (value >= 1e9) return `${(value / 1e9).toFixed(2)} billion`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} million`;
  return value.toLocaleString("en");
}

export const megabytes = (bytes) => (bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e3).toFixed(0)} kB`);

/** less returns how much smaller a value is than the dense model's. */
const less = (value, dense) => (known(dense) && dense > 0 && value !== dense ? `${percent(Math.abs(1 - value / dense))} ${value < dense ? "less" : "more"} than dense` : null);

/** times returns a value's ratio to the dense model's. */
const times = (value, dense) => (known(dense) && dense > 0 ? `${(value / dense).toFixed(2)}x dense` : null);

const fact = (name, value, note, share) =>
  element(
    "div",
    { class: "fact" },
    element("dt", {}, name),
    element("dd", {}, element("span", { class: "value" }, value), note ? element("span", { class: "note" }, note) : null, share === undefined ? null : bar(share)),
  );

/** bar draws a share. The text beside it has the same value. */
function bar(share) {
  const filled = element("span", { class: "filled" });
  filled.style.width = `${100 * Math.min(Math.max(share, 0), 1)}%`;
  return element("span", { class: "bar", "aria-hidden": "true" }, filled);
}

/** showCard fills root with the card of a variant. card and dense (the card of ratio 0) may be null. seen is the speed of
 * the answers in this page, or null. next says which file replaces the variant's next; "": none does. */
export function showCard(root, card, dense, seen, next) {
  if (!card) {
    root.replaceChildren(element("p", { class: "hint" }, "The server has no card for this variant yet."));
    return;
  }
  root.replaceChildren(
    group("Variant", is(card, dense, next)),
    group("Cost", cost(card)),
    group("Gain", won(card, dense, seen)),
  );
}

const group = (title, facts) => element("div", { class: "group" }, element("h3", {}, title), element("dl", {}, facts));

function is(card, dense, next) {
  const asked = card.ratio === 0 ? "nothing pruned" : `requested: ${card.ratio}`;
  return [
    fact("Removed", percent(card.ratio_reached ?? 0, 1), asked),
    card.stage && card.ratio > 0 ? fact("Stage", card.stage, next ? `next: ${next}` : null) : null,
    fact("MLP neurons kept", percent(card.kept_mlp ?? 1, 1), null, card.kept_mlp ?? 1),
    known(card.parameters) && card.parameters > 0 ? fact("Parameters", count(card.parameters), less(card.parameters, dense?.parameters)) : null,
    known(card.bytes) && card.bytes > 0 ? fact("File", megabytes(card.bytes), less(card.bytes, dense?.bytes)) : null,
  ].filter(Boolean);
}

function cost(card) {
  if (card.ratio === 0) {
    return [
      fact("Quality", "the reference", "other ratios are compared with it"),
      known(card.perplexity) ? fact("Perplexity", card.perplexity.toFixed(2)) : null,
    ].filter(Boolean);
  }
  if (!known(card.top1_agreement)) return [fact("Quality", "not measured yet", "follows once the variant is made")];
  return [
    fact("Same next token as dense", percent(card.top1_agreement, 1), null, card.top1_agreement),
    fact("Perplexity", card.perplexity.toFixed(2), known(card.perplexity_ratio) ? `${card.perplexity_ratio.toFixed(2)}x dense` : null),
    fact("Divergence from dense", `${card.kl_to_dense.toFixed(3)} nats`, "KL divergence per token"),
    known(card.eval_tokens) ? fact("Measured on", `${count(card.eval_tokens)} tokens`, null) : null,
  ].filter(Boolean);
}

function won(card, dense, seen) {
  const facts = [];
  const speed = card.output_tokens_per_second;
  if (known(speed)) facts.push(fact("Speed", `${speed.toFixed(1)} tokens/s`, card.ratio === 0 ? null : times(speed, dense?.output_tokens_per_second)));
  if (known(card.itl_ms)) facts.push(fact("Inter-token latency", `${card.itl_ms.toFixed(1)} ms`, null));
  if (known(card.ttft_ms)) facts.push(fact("Time to first token", `${card.ttft_ms.toFixed(0)} ms`, null));
  if (known(card.measured_at)) {
    const spread = known(card.itl_spread) ? `spread ${percent(card.itl_spread)}` : null;
    facts.push(fact("Measured", new Date(1000 * card.measured_at).toLocaleString(), card.provisional ? "while other programs ran; it will be measured again" : spread));
  }
  if (seen !== null) facts.push(fact("Measured in this page", `${seen.toFixed(1)} tokens/s`, "median of its answers"));
  if (facts.length === 0) facts.push(fact("Speed", "not measured yet", null));
  return facts;
}
