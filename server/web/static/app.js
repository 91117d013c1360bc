// Starts the page: tabs, theme, key, and polling of the server's readiness.

import { apiKey, listVariants, pause, readiness, setApiKey } from "./api.js";
import { startChart } from "./chart.js";
import { startComparison } from "./compare.js";
import { startConversation } from "./conversation.js";
import { announce, byId, statusLine } from "./dom.js";
import { Models } from "./models.js";

const models = new Models();

function startTabs() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const panel = (tab) => byId(tab.getAttribute("aria-controls"));
  const choose = (tab, focus) => {
    for (const other of tabs) {
      other.setAttribute("aria-selected", String(other === tab));
      other.tabIndex = other === tab ? 0 : -1;
      panel(other).hidden = other !== tab;
    }
    document.body.dataset.view = panel(tab).id;
    if (focus !== null) history.replaceState(null, "", `#${panel(tab).id}`);
    if (focus) tab.focus();
    if (focus !== null && models.base) models.load().catch(() => {}); // the chart shows current figures
  };
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => choose(tab, false));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose(tabs.at(to % tabs.length), true);
    });
  });
  choose(tabs.find((tab) => `#${panel(tab).id}` === location.hash) ?? tabs[0], null);
  if (!byId("chat").hidden) byId("prompt").focus({ preventScroll: true });
}

/** startTheme lets the user override the system's light or dark theme. The browser stores the choice. */
function startTheme() {
  const themes = ["system", "light", "dark"];
  const button = byId("theme-button");
  let theme = "system";
  try {
    theme = localStorage.getItem("prunellm.theme") ?? theme;
  } catch {
    // storage is disabled; the choice lasts as long as the page
  }
  const show = () => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    try {
      localStorage.setItem("prunellm.theme", theme);
    } catch {
      // storage is disabled
    }
    show();
  });
  show();
}

/** startKey prepares the dialog for the API key. It returns a function that opens the dialog if an error is about the key. */
function startKey(changed) {
  const dialog = byId("key-dialog");
  const field = byId("key");
  const open = () => {
    field.value = apiKey();
    if (!dialog.open) dialog.showModal();
  };
  const use = (key) => {
    setApiKey(key);
    dialog.close();
    changed();
  };
  byId("key-button").addEventListener("click", open);
  byId("key-cancel").addEventListener("click", () => dialog.close());
  byId("key-forget").addEventListener("click", () => use(""));
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    use(field.value.trim());
  });
  return (error) => {
    if (error.status === 401) open();
  };
}

function showState(text) {
  const state = byId("state");
  if (state.dataset.text !== text) {
    state.replaceChildren(...statusLine(text));
    announce(text || "The server is ready");
  }
  state.dataset.text = text;
  state.hidden = text === "";
}

/** watch loads the models now and once the server is ready, and follows the startup variant while the server improves it. */
async function watch(needKey) {
  for (let first = true; ; first = false) {
    let wait = 1000;
    try {
      const { missing, stage, next } = await readiness();
      if (first || !missing) await models.load();
      byId("model").textContent = models.base;
      const { startup } = models;
      if (missing || startup === null || models.isLoaded(startup)) {
        models.denseMeanwhile = false;
        showState(missing);
        if (!missing) {
          await models.improving(stage, next);
          if (!next) return;
          wait = 5000;
        }
      } else {
        const own = models.name(startup);
        const variant = (await listVariants()).find(({ id }) => id === own);
        if (variant?.state !== "making") return showState("");
        models.denseMeanwhile = true;
        await models.load();
        showState(`The dense model answers while ${own} is being made: ${variant.progress || "starting"}`);
        wait = 3000;
      }
    } catch (error) {
      showState(error.message);
      needKey(error);
      if (error.status === 401) return; // the key dialog retries
      wait = 3000;
    }
    await pause(wait);
  }
}

startTheme();
startTabs();
const needKey = startKey(() => watch(needKey));
startConversation(models, needKey);
startComparison(models, needKey);
startChart(models, needKey);
watch(needKey);
