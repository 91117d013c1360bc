// The ratio slider selects the variant. Its text explains the ratio and reports whether the variant is loaded.

import { element } from "./dom.js";
import { formatRatio } from "./models.js";

const steps = [0.05, 0.01, 0.005, 0.001, 0.0001]; // the slider uses the widest that hits the startup ratio

/** percent formats a share. */
export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)}%`;

export class RatioSlider {
  #touched = false;

  /** root is an empty element with an id; label names the slider; preferred(models) gives its first ratio. */
  constructor(root, models, label, preferred) {
    const id = `${root.id}-input`;
    this.models = models;
    this.preferred = preferred;
    this.ticks = element("datalist", { id: `${id}-ticks` });
    this.input = element("input", { id, type: "range", min: 0, max: 0.6, step: steps[0], list: this.ticks.id, "aria-describedby": `${id}-hint` });
    this.output = element("output", { for: id });
    this.hint = element("p", { id: `${id}-hint`, class: "hint" });
    root.append(element("div", { class: "ratio-line" }, element("label", { for: id }, label), this.output), this.input, this.ticks, this.hint);
    this.input.addEventListener("input", () => {
      this.#touched = true;
      this.#show();
    });
    models.addEventListener("change", () => this.#update());
    this.#update();
  }

  get value() {
    return Number(formatRatio(this.input.value));
  }

  #update() {
    const { models, input } = this;
    input.step = steps.find((step) => Math.abs(models.startup / step - Math.round(models.startup / step)) < 1e-6) ?? steps.at(-1);
    input.max = formatRatio(Math.floor(models.largest / Number(input.step) + 1e-6) * Number(input.step));
    if (!this.#touched && models.startup !== null) input.value = formatRatio(this.preferred(models));
    this.ticks.replaceChildren(...[...models.loaded].map((ratio) => element("option", { value: ratio })));
    this.#show();
  }

  #show() {
    const ratio = this.value;
    const meaning = ratio === 0 ? "the dense model" : `${percent(ratio)} of all parameters removed`;
    this.output.textContent = `${formatRatio(ratio)} · ${meaning}`;
    this.input.setAttribute("aria-valuetext", `${formatRatio(ratio)}, ${meaning}`);
    this.hint.textContent = this.#readiness(ratio);
  }

  #readiness(ratio) {
    const { models } = this;
    if (models.isLoaded(ratio)) return "Ready.";
    if (models.denseMeanwhile && formatRatio(ratio) === formatRatio(models.startup)) return "Being made; the dense model answers until then.";
    return "Not loaded yet; the first answer waits until it is.";
  }
}
