// The settings that all answers share.

import { byId } from "./dom.js";

/** settings reads the form: the system prompt, and the sampling fields of a request. */
export function settings() {
  const number = (id) => {
    const field = byId(id);
    return field.value === "" || !field.checkValidity() ? null : Number(field.value);
  };
  const sampling = { temperature: number("temperature") ?? 0.7, max_tokens: number("max-tokens") ?? 512 };
  const seed = number("seed");
  if (seed !== null) sampling.seed = seed;
  return { system: byId("system").value.trim(), sampling };
}
