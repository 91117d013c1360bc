// The page's state of the server's models: their name, the loaded ratios and their cards. One Models object owns it and
// fires "change".

import { getModel, listModels, pause } from "./api.js";

/** splitName returns base and ratio of "name@ratio". The ratio of a bare name is null. */
export function splitName(id) {
  const at = id.lastIndexOf("@");
  return at < 0 ? { base: id, ratio: null } : { base: id.slice(0, at), ratio: Number(id.slice(at + 1)) };
}

/** formatRatio formats a ratio as model names do: 0.2. */
export const formatRatio = (ratio) => String(Number(Number(ratio).toFixed(4)));

const largestGuess = 0.6; // until the server reports the model's largest ratio

export class Models extends EventTarget {
  #followed = new Set();

  constructor() {
    super();
    this.base = "";
    this.startup = null; // the startup variant's ratio; null before the first load
    this.largest = largestGuess;
    this.cards = new Map(); // by ratio, as the server sent them; they outlive their variants
    this.loaded = new Set(); // ratios that need no waiting
    this.denseMeanwhile = false; // the dense model answers while the startup variant is being made
    this.speeds = new Map(); // by ratio, tokens per second of the answers in this page
    this.stage = null; // of the file that answers for the startup variant; null before it is known
    this.next = ""; // what replaces that file next, and how far it is
  }

  /** known reports whether the models' name is known. */
  async known(signal) {
    if (!this.base) await this.load(signal);
  }

  /** load fetches the list of models. */
  async load(signal) {
    const list = await listModels(signal);
    this.loaded.clear();
    for (const entry of list) this.#take(entry);
    const first = list[0];
    if (first) {
      const named = splitName(first.id);
      this.base = named.base;
      this.startup = first.prunellm?.ratio ?? named.ratio ?? list.map((entry) => splitName(entry.id).ratio).find((ratio) => ratio > 0) ?? 0;
    }
    this.#changed();
  }

  #take(entry) {
    const card = entry.prunellm;
    if (!card) return;
    this.cards.set(formatRatio(card.ratio), card);
    this.loaded.add(formatRatio(card.ratio));
    if (card.max_ratio) this.largest = card.max_ratio;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  /** name returns the model name of a ratio's variant. */
  name(ratio) {
    return `${this.base}@${formatRatio(ratio)}`;
  }

  card(ratio) {
    return this.cards.get(formatRatio(ratio)) ?? null;
  }

  isLoaded(ratio) {
    return this.loaded.has(formatRatio(ratio));
  }

  /** improving records which file answers for the startup variant, and what comes next. A better file has another card. */
  async improving(stage, next) {
    const replaced = this.stage !== null && this.stage !== stage;
    this.stage = stage;
    this.next = next;
    this.#changed();
    if (!replaced) return;
    await this.load();
    this.follow(this.name(this.startup));
  }

  /** nextOf returns what replaces the file of a ratio next; "" if nothing does. */
  nextOf(ratio) {
    return this.startup !== null && formatRatio(ratio) === formatRatio(this.startup) ? this.next : "";
  }

  /** answered records a variant's speed. */
  answered(variant, perSecond) {
    const { ratio } = splitName(variant);
    if (ratio === null || !perSecond) return;
    const key = formatRatio(ratio);
    this.speeds.set(key, [...(this.speeds.get(key) ?? []), perSecond]);
    this.#changed();
  }

  /** seen returns the median of a ratio's recorded speeds, or null. */
  seen(ratio) {
    const speeds = [...(this.speeds.get(formatRatio(ratio)) ?? [])].sort((a, b) => a - b);
    return speeds.length ? speeds[speeds.length >> 1] : null;
  }

  /** follow polls a variant's card, with growing intervals, until its quality and speed are measured. */
  async follow(variant) {
    if (this.#followed.has(variant)) return;
    this.#followed.add(variant);
    try {
      for (let wait = 1000; wait < 60_000; wait *= 1.5) {
        const entry = await getModel(variant);
        if (entry?.prunellm) {
          this.#take(entry);
          this.#changed();
          if (entry.prunellm.top1_agreement !== undefined && entry.prunellm.output_tokens_per_second !== undefined) return;
        }
        await pause(wait);
      }
    } catch {
      // the card is optional, and the answer beside it reports errors
    } finally {
      this.#followed.delete(variant);
    }
  }
}
