// What the page knows of the server's models: their name, the ratios that are loaded, and their cards. One Models object
// is the owner; who shows something of it listens for "change".

import { getModel, listModels, pause } from "./api.js";

/** splitName gives base and ratio of "name@ratio"; the ratio of a bare name is null. */
export function splitName(id) {
  const at = id.lastIndexOf("@");
  return at < 0 ? { base: id, ratio: null } : { base: id.slice(0, at), ratio: Number(id.slice(at + 1)) };
}

/** formatRatio writes a ratio as model names do: 0.2. */
export const formatRatio = (ratio) => String(Number(Number(ratio).toFixed(4)));

const largestGuess = 0.6; // until the server says how far its model can be pruned

export class Models extends EventTarget {
  #followed = new Set();

  constructor() {
    super();
    this.base = "";
    this.startup = null; // ratio of the server's own variant; null before the first load
    this.largest = largestGuess;
    this.cards = new Map(); // by ratio, in the server's form; a card stays when its variant is unloaded
    this.loaded = new Set(); // ratios that answer at once
    this.denseMeanwhile = false; // the whole model answers for the server's own variant, which is being made
    this.speeds = new Map(); // by ratio, tokens a second of the answers seen here
  }

  /** known is there once the models' name is. */
  async known(signal) {
    if (!this.base) await this.load(signal);
  }

  /** load asks the server for its models. */
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

  /** name is what requests call the variant of a ratio. */
  name(ratio) {
    return `${this.base}@${formatRatio(ratio)}`;
  }

  card(ratio) {
    return this.cards.get(formatRatio(ratio)) ?? null;
  }

  isLoaded(ratio) {
    return this.loaded.has(formatRatio(ratio));
  }

  /** answered notes how fast a variant answered. */
  answered(variant, perSecond) {
    const { ratio } = splitName(variant);
    if (ratio === null || !perSecond) return;
    const key = formatRatio(ratio);
    this.speeds.set(key, [...(this.speeds.get(key) ?? []), perSecond]);
    this.#changed();
  }

  /** seen is the median of the speeds noted for a ratio; null for none. */
  seen(ratio) {
    const speeds = [...(this.speeds.get(formatRatio(ratio)) ?? [])].sort((a, b) => a - b);
    return speeds.length ? speeds[speeds.length >> 1] : null;
  }

  /** follow fetches a variant's card until its quality and speed have been measured, ever more rarely. */
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
      // the card is an extra: the answer that it stands beside tells of any trouble
    } finally {
      this.#followed.delete(variant);
    }
  }
}
