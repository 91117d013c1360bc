// One answer: request, stream, rendering and summary.

import { chat, listVariants, ServerError } from "./api.js";
import { announce, element, statusLine } from "./dom.js";
import { markdown } from "./markdown.js";

const renderEvery = 60; // milliseconds; each time, the whole answer is lexed again

/** Answer is the article that shows an answer. */
export class Answer {
  #timer = 0;

  constructor(title) {
    this.text = "";
    this.thought = ""; // the model's thinking before the text
    this.title = element("h3", { class: "speaker" }, title);
    this.summary = element("summary", {}, "Thinking…");
    this.thoughts = element("p", { dir: "auto" });
    this.thinking = element("details", { class: "thinking", hidden: "" }, this.summary, this.thoughts);
    this.body = element("div", { class: "markdown" });
    this.meta = element("p", { class: "meta" });
    this.node = element("article", { class: "turn assistant", "aria-busy": "true" }, this.title, this.thinking, this.body, this.meta);
  }

  /**
   * ask runs a request to its end. It returns chat's result, or null if it was stopped or failed. The answer and failure
   * then show the error. It calls grown whenever the answer has become longer.
   */
  async ask(request, signal, grown) {
    const started = performance.now();
    let waiting = `Waiting for ${request.model}`;
    const show = () => {
      const seconds = Math.round((performance.now() - started) / 1000);
      this.meta.replaceChildren(...(seconds < 1 ? ["Waiting…"] : statusLine(`${waiting} · ${seconds} s`)));
      grown();
    };
    const note = async () => {
      show();
      if (performance.now() - started < 900) return;
      const progress = await progressOf(request.model);
      if (progress && clock) waiting = `Making ${request.model}: ${progress}`;
    };
    let clock = setInterval(note, 1000);
    show();
    const quiet = () => {
      clearInterval(clock);
      clock = 0;
    };
    announce("Waiting for the answer");
    try {
      const result = await chat(request, {
        signal,
        onWait: (message) => {
          waiting = message;
          show();
        },
        onStart: (variant) => {
          this.title.textContent = variant;
          quiet();
          this.meta.textContent = "Answering…";
        },
        onThought: (text) => {
          this.thought += text;
          this.#soon(grown);
        },
        onText: (text) => {
          this.text += text;
          this.#soon(grown);
        },
      });
      this.meta.textContent = summary(result);
      announce("The answer is complete");
      return result;
    } catch (error) {
      this.failure = error;
      this.#failed(error);
      return null;
    } finally {
      quiet();
      this.node.setAttribute("aria-busy", "false");
      this.#render(grown);
    }
  }

  #failed(error) {
    if (error.name === "AbortError") {
      this.meta.textContent = "Stopped.";
      announce("Stopped");
      return;
    }
    const message = error instanceof ServerError ? error.message : "The page cannot read the server's response.";
    if (!(error instanceof ServerError)) console.error(error);
    this.meta.textContent = "";
    this.meta.append(element("span", { class: "error" }, message));
    announce(message);
  }

  #soon(grown) {
    this.#timer ||= setTimeout(() => this.#render(grown), renderEvery);
  }

  #render(grown) {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.thinking.hidden = !this.thought;
    this.summary.textContent = this.text || this.node.getAttribute("aria-busy") === "false" ? "Thoughts" : "Thinking…";
    this.thoughts.textContent = this.thought;
    this.body.replaceChildren(...markdown(this.text));
    grown();
  }
}

/** progressOf returns the progress of a variant that is being made; "" if it is unknown. */
export async function progressOf(model) {
  const variant = (await listVariants()).find(({ id, state }) => id === model && state === "making");
  return variant?.progress ?? "";
}

/** summary returns the length and the times of an answer. */
function summary(result) {
  const parts = [`${result.tokens} tokens`, `${result.seconds.toFixed(1)} s`];
  if (result.firstToken) parts.push(`first after ${result.firstToken.toFixed(2)} s`);
  if (result.perSecond) parts.push(`${result.perSecond.toFixed(1)} tokens/s`);
  if (result.finish === "length") parts.push("cut off at the token limit");
  return parts.join(" · ");
}
