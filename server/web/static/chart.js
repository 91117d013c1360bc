// The chart of quality against speed, one dot per variant, and a table of the same figures.

import { progressOf } from "./answer.js";
import { chat } from "./api.js";
import { count, megabytes } from "./card.js";
import { announce, byId, element, statusLine, svg } from "./dom.js";
import { formatRatio } from "./models.js";
import { percent, RatioSlider } from "./ratio.js";

/** The measures of quality: dense is the dense model's value; better is -1 if lower is better. */
const measures = {
  top1_agreement: { title: "Same next token as dense", dense: 1, better: 1, write: (value) => percent(value) },
  perplexity_ratio: { title: "Perplexity relative to dense", dense: 1, better: -1, write: (value) => `${value.toFixed(2)}x` },
  kl_to_dense: { title: "KL divergence from dense, nats per token", dense: 0, better: -1, write: (value) => value.toFixed(2) },
};

/** niceTicks returns about n round numbers that cover [low, high]. */
export function niceTicks(low, high, n) {
  if (!(high > low)) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const raw = (high - low) / n;
  const magnitude = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * magnitude).find((s) => s >= raw);
  const ticks = [];
  for (let i = Math.floor(low / step + 1e-9); i <= Math.ceil(high / step - 1e-9); i++) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

/** rows returns the known figures of each ratio, in order. Without a benchmark, speed is that of the answers in this page. */
function rows(models) {
  return [...models.cards.values()]
    .sort((a, b) => a.ratio - b.ratio)
    .map((card) => {
      const measured = card.output_tokens_per_second;
      const seen = models.seen(card.ratio);
      return { card, ratio: card.ratio, speed: measured ?? seen, seen: measured === undefined && seen !== null };
    });
}

const qualityOf = (card, name) => (card.ratio === 0 ? measures[name].dense : card[name]);

export function startChart(models, needKey) {
  const figure = byId("figure");
  const choice = byId("quality");
  const show = () => {
    const all = rows(models);
    const points = all
      .map((row) => ({ ...row, quality: qualityOf(row.card, choice.value) }))
      .filter((point) => point.quality !== undefined && point.speed !== null && point.speed !== undefined);
    figure.replaceChildren(points.length < 2 ? missing(points.length) : draw(points, measures[choice.value], figure.clientWidth || 640));
    byId("table").replaceChildren(...table(all));
  };
  choice.addEventListener("change", show);
  models.addEventListener("change", show);
  new ResizeObserver(show).observe(figure.parentElement);
  show();
  startMaking(models, needKey);
}

const missing = (n) =>
  element("p", { class: "hint" }, `The chart needs two ratios with both figures; there ${n === 1 ? "is one" : "are none"} yet. The server measures quality once it has made a variant. Speed comes from the answers in this page or from prunellm bench.`);

function draw(points, measure, width) {
  const height = Math.max(260, Math.min(420, width * 0.55));
  const edge = { left: 64, right: 32, top: 48, bottom: 52 };
  const speeds = niceTicks(Math.min(...points.map((p) => p.speed)), Math.max(...points.map((p) => p.speed)), width < 480 ? 3 : 6);
  const values = niceTicks(Math.min(...points.map((p) => p.quality)), Math.max(...points.map((p) => p.quality)), 5);
  const scale = (ticks, from, to) => (value) => from + ((value - ticks[0]) / (ticks.at(-1) - ticks[0])) * (to - from);
  const x = scale(speeds, edge.left, width - edge.right);
  // Up is always better: the axis of a measure where lower is better is inverted.
  const y = measure.better > 0 ? scale(values, height - edge.bottom, edge.top) : scale(values, edge.top, height - edge.bottom);
  const described = points.map((p) => `ratio ${formatRatio(p.ratio)}: ${measure.write(p.quality)}, ${p.speed.toFixed(1)} tokens per second`).join("; ");
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${measure.title} against speed. ${described}.` },
    speeds.map((tick) => [
      svg("line", { class: "grid", x1: x(tick), x2: x(tick), y1: edge.top, y2: height - edge.bottom }),
      svg("text", { class: "tick", x: x(tick), y: height - edge.bottom + 18, "text-anchor": "middle" }, String(tick)),
    ]),
    values.map((tick) => [
      svg("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: y(tick), y2: y(tick) }),
      svg("text", { class: "tick", x: edge.left - 8, y: y(tick) + 4, "text-anchor": "end" }, measure.write(tick)),
    ]),
    svg("text", { class: "axis", x: (edge.left + width - edge.right) / 2, y: height - 8, "text-anchor": "middle" }, "Tokens per second, one answer at a time → faster"),
    svg("text", { class: "axis", x: 12, y: 18 }, `${measure.title} ↑ better`),
    svg("polyline", { class: "line", points: points.map((p) => `${x(p.speed)},${y(p.quality)}`).join(" ") }),
    points.map((p) => [
      svg("circle", { class: p.seen ? "dot seen" : "dot", cx: x(p.speed), cy: y(p.quality), r: 6 }, svg("title", {}, `ratio ${formatRatio(p.ratio)}`)),
      svg("text", { class: "label", x: x(p.speed), y: y(p.quality) - 12, "text-anchor": "middle" }, formatRatio(p.ratio)),
    ]),
  );
}

function table(all) {
  if (all.length === 0) return [element("p", { class: "hint" }, "No variant is loaded yet.")];
  const number = (value, write) => (value === undefined || value === null ? "–" : write(value));
  const heads = ["Ratio", "Removed", "Parameters", "File", "Same token", "Perplexity", "× dense", "KL", "Tokens/s"];
  const body = all.map(({ card, speed, seen }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, formatRatio(card.ratio)),
      [
        percent(card.ratio_reached ?? 0, 1),
        number(card.parameters, count),
        number(card.bytes, megabytes),
        number(qualityOf(card, "top1_agreement"), (value) => percent(value, 1)),
        number(card.perplexity, (value) => value.toFixed(2)),
        number(qualityOf(card, "perplexity_ratio"), (value) => value.toFixed(2)),
        number(qualityOf(card, "kl_to_dense"), (value) => value.toFixed(3)),
        number(speed, (value) => value.toFixed(1) + (seen ? " *" : "")),
      ].map((text) => element("td", {}, text)),
    ),
  );
  return [
    element(
      "table",
      {},
      element("caption", { class: "visually-hidden" }, "Cost and gain of each ratio"),
      element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col" }, head)))),
      element("tbody", {}, body),
    ),
    all.some((row) => row.seen) ? element("p", { class: "hint" }, "* measured in this page; the dot is hollow") : "",
  ];
}

/** startMaking lets the user add a ratio to the chart. A short request makes the server make the variant, and measures its speed. */
function startMaking(models, needKey) {
  const slider = new RatioSlider(byId("make-ratio"), models, "Ratio to add", () => Math.min(models.largest, (models.startup ?? 0) + 0.1));
  const button = byId("make");
  const state = byId("make-state");
  let running = null;
  byId("make-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running) {
      running.abort();
      return;
    }
    running = new AbortController();
    button.textContent = "Stop waiting";
    const model = models.name(slider.value);
    const tell = (text) => {
      state.replaceChildren(...statusLine(text));
      announce(text);
    };
    tell(`Making ${model}…`);
    const clock = setInterval(async () => {
      const progress = await progressOf(model);
      if (progress && running) tell(`Making ${model}: ${progress}`);
    }, 1000);
    try {
      const request = { model, messages: [{ role: "user", content: "Tell me about trees." }], max_tokens: 48, temperature: 0 };
      const result = await chat(request, { signal: running.signal, onWait: tell, onStart: () => {}, onText: () => {} });
      models.answered(result.variant, result.perSecond);
      tell(`${result.variant} is ready.`);
      await models.load();
      models.follow(result.variant);
    } catch (error) {
      tell(error.name === "AbortError" ? "Stopped waiting; the server may still make it." : error.message);
      needKey(error);
    } finally {
      clearInterval(clock);
      running = null;
      button.textContent = "Make and measure";
    }
  });
}
