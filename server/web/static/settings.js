// The settings that all answers share.

import { byId } from "./dom.js";

/** settings returns the form's system prompt and sampling fields. It returns null if a field is invalid; the browser then
 * shows the reason beside the field. */
export function settings() {
  const wrong = ["temperature", "max-tokens", "seed"].map(byId).find((field) => !field.checkValidity());
  if (wrong) {
    wrong.closest("details").open = true;
    wrong.reportValidity();
    return null;
  }
  const number = (id) => (byId(id).value === "" ? null : Number(byId(id).value));
  const sampling = { temperature: number("temperature") ?? 0.7, max_tokens: number("max-tokens") ?? 512 };
  const seed = number("seed");
  if (seed !== null) sampling.seed = seed;
  return { system: byId("system").value.trim(), sampling };
}
