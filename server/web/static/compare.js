// One prompt, answered by two ratios side by side. By default they run in sequence: in parallel they would share the cores.

import { Answer } from "./answer.js";
import { showCard } from "./card.js";
import { byId } from "./dom.js";
import { splitName } from "./models.js";
import { RatioSlider } from "./ratio.js";
import { settings } from "./settings.js";

export function startComparison(models, needKey) {
  const prompt = byId("compare-prompt");
  const send = byId("compare-send");
  const side = (name, label, preferred) => ({
    slider: new RatioSlider(byId(`${name}-ratio`), models, label, preferred),
    title: byId(`${name}-title`),
    answer: byId(`${name}-answer`),
    card: byId(`${name}-card`),
    variant: null,
  });
  const sides = [side("left", "Ratio on the left", () => 0), side("right", "Ratio on the right", () => models.startup || 0.2)];
  let running = null;

  const cards = () => {
    for (const { card, variant } of sides) {
      const ratio = variant && splitName(variant).ratio;
      if (variant) showCard(card, models.card(ratio), models.card(0), models.seen(ratio), models.nextOf(ratio));
      else card.replaceChildren();
    }
  };
  models.addEventListener("change", cards);

  async function run(one, messages, sampling, signal) {
    const answer = new Answer(models.name(one.slider.value));
    one.variant = null;
    one.title.textContent = `Ratio ${one.slider.value}`;
    one.answer.replaceChildren(answer.node);
    cards();
    const result = await answer.ask({ model: models.name(one.slider.value), messages, ...sampling }, signal, () => {});
    if (answer.failure) needKey(answer.failure);
    if (!result) return;
    one.variant = result.variant;
    models.answered(result.variant, result.perSecond);
    cards();
    await models.load().catch(() => {});
  }

  async function submit() {
    const text = prompt.value.trim();
    if (!text || running) return;
    const chosen = settings();
    if (!chosen) return;
    running = new AbortController();
    const { signal } = running;
    send.textContent = "Stop";
    send.classList.add("stop");
    const ended = () => {
      running = null;
      send.textContent = "Compare";
      send.classList.remove("stop");
    };
    try {
      await models.known(signal);
    } catch (error) {
      ended();
      needKey(error);
      return;
    }
    const { system, sampling } = chosen;
    sampling.seed ??= 1; // the same for both sides
    const messages = [...(system ? [{ role: "system", content: system }] : []), { role: "user", content: text }];
    const all = sides.map((one) => () => run(one, messages, sampling, signal));
    for (const one of sides) {
      one.answer.replaceChildren();
      one.variant = null;
    }
    cards();
    if (byId("in-turn").checked) {
      for (const next of all) if (!signal.aborted) await next();
    } else {
      await Promise.all(all.map((next) => next()));
    }
    ended();
    for (const { variant } of sides) if (variant) models.follow(variant);
  }

  byId("compare-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) running.abort();
    else submit();
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
  });
  byId("compare").addEventListener("keydown", (event) => {
    if (event.key === "Escape") running?.abort();
  });
}
