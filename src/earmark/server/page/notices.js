// What is said: what goes on, what is done, what went wrong. Always as text, whoever wrote it.

import { Problem } from "./problems.js";

const TITLES = {
  not_a_sound: "This cannot be read as a sound",
  unreadable: "The sound cannot be read",
  cut_off: "The sound is cut off",
  too_long: "The sound is too long",
  too_large: "The file is too large",
  too_much_sound: "The sound is too long",
  microphone: "The microphone cannot be used",
  unauthorised: "The server wants a token",
  busy: "The server is busy",
  too_slow: "The server is too slow for this",
  stopping: "The server is stopping",
  gone: "Nobody answers",
};

const $ = (id) => document.getElementById(id);
const make = (kind, text) => Object.assign(document.createElement(kind), { textContent: text });

// share: of what goes on, in [0, 1]; null where it is not known.
export function progress(doing, share = null) {
  $("busy").hidden = false;
  $("doing").textContent = share === null ? `${doing} …` : `${doing}: ${Math.floor(100 * share)} %`;
  if (share === null) $("progress").removeAttribute("value");
  else $("progress").value = share;
}

export function atRest() {
  $("busy").hidden = true;
}

// To who cannot see what has changed; note() is for all.
export function say(text) {
  $("said").textContent = text;
}

export function note(text) {
  $("note").textContent = text;
  $("note").hidden = !text;
}

export function showProblem(error) {
  const isOurs = !(error instanceof Problem);
  const title = isOurs ? "This is a fault of the page" : (TITLES[error.reason] ?? "That did not work");
  $("problem").replaceChildren(make("strong", title), make("p", error.message));
  $("problem").hidden = false;
  $("key").hidden = error.reason !== "unauthorised";
  if (error.reason === "unauthorised") $("token").focus();
  if (isOurs) console.error(error);
}

export function clear() {
  $("problem").hidden = $("key").hidden = true;
  $("problem").replaceChildren();
  say("");
  note("");
}

export function showWarnings(texts) {
  const said = [...new Set(texts.filter(Boolean))];
  $("warnings").hidden = !said.length;
  $("warnings").replaceChildren(...said.map((text) => make("li", text)));
}
