// The chat: turns, the composer with its send and stop button, and the card of the last answer's variant.

import { Answer } from "./answer.js";
import { showCard } from "./card.js";
import { byId, element } from "./dom.js";
import { RatioSlider } from "./ratio.js";
import { settings } from "./settings.js";
import { splitName } from "./models.js";

export function startConversation(models, needKey) {
  const log = byId("log");
  const prompt = byId("prompt");
  const send = byId("send");
  const slider = new RatioSlider(byId("chat-ratio"), models, "Ratio", () => models.startup);
  let messages = []; // answered turns only: a failed question returns to the composer
  let running = null; // AbortController of the running answer
  let shown = null; // variant whose card is shown

  const card = () => {
    if (!shown) return;
    const { ratio } = splitName(shown);
    byId("card-variant").textContent = shown;
    showCard(byId("card"), models.card(ratio), models.card(0), models.seen(ratio), models.nextOf(ratio));
  };
  models.addEventListener("change", card);

  /** toEnd scrolls to the newest text unless the user has scrolled away from the end. */
  const toEnd = (force) => {
    if (force || log.scrollHeight - log.scrollTop - log.clientHeight < 120) log.scrollTop = log.scrollHeight;
  };

  const setRunning = (controller) => {
    running = controller;
    send.textContent = controller ? "Stop" : "Send";
    send.classList.toggle("stop", controller !== null);
  };

  async function submit() {
    if (!prompt.value.trim() || running) return;
    const chosen = settings();
    if (!chosen) return;
    const controller = new AbortController();
    setRunning(controller);
    try {
      await models.known(controller.signal);
    } catch (error) {
      if (running === controller) setRunning(null);
      needKey(error);
      return; // the text stays in the composer, and the state line gives the reason
    }
    const text = prompt.value.trim();
    if (!text) {
      setRunning(null);
      return;
    }
    byId("welcome")?.remove();
    prompt.value = "";
    const { system, sampling } = chosen;
    const turns = messages; // of this chat, even if a new one begins meanwhile
    const question = { role: "user", content: text };
    const questionNode = element("article", { class: "turn user" }, element("h3", { class: "visually-hidden" }, "You"), element("p", { dir: "auto" }, text));
    const answer = new Answer(models.name(slider.value));
    log.append(questionNode, answer.node);
    toEnd(true);
    const request = {
      model: models.name(slider.value),
      messages: [...(system ? [{ role: "system", content: system }] : []), ...turns, question],
      ...sampling,
    };
    const result = await answer.ask(request, controller.signal, () => toEnd(false));
    if (running === controller) setRunning(null);
    const said = answer.text.replaceAll("\0", ""); // a model may write NUL characters, but the API refuses them in messages
    const thought = answer.thought.replaceAll("\0", "");
    if (said) turns.push(question, { role: "assistant", content: said, ...(thought && { reasoning_content: thought }) });
    else if (answer.failure && !prompt.value.trim()) prompt.value = text;
    if (answer.failure) needKey(answer.failure);
    if (result) {
      shown = result.variant;
      models.answered(result.variant, result.perSecond);
      card();
      models.follow(result.variant);
      if (!models.card(0)) models.load().catch(() => {});
    }
  }

  byId("chat-form").addEventListener("submit", (event) => {
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
  byId("chat").addEventListener("keydown", (event) => {
    if (event.key === "Escape") running?.abort();
  });
  byId("new-chat").addEventListener("click", () => {
    running?.abort();
    messages = [];
    log.replaceChildren();
    prompt.focus();
  });
}
