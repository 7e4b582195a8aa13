// Tags at the server that the page comes from (docs/serve.md). engine_local.js offers the same, without a server.

import { Problem } from "./problems.js";
import { uncalibrated } from "./reader.js";

export const WHERE = "Sounds go to the server of this page, which keeps none.";
const TOKEN_WANTED = "unauthorised";

const address = (path) => new URL(`./v1/${path}`, import.meta.url);
let limits = null;
let token = "";

export const offline = null; // without the server there is nothing

// Kept as long as the tab is open.
export function useToken(given) {
  token = given;
  sessionStorage.setItem("token", given);
}

async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(address(path), { ...options, headers }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Problem("gone", "The server does not answer. Is it running still, and is there a network?");
  });
  const found = await answer.json().catch(() => null);
  if (answer.ok && found) return found;
  if (found?.error) throw refusal(found.error);
  throw new Problem("gone", `The server gives no answer that can be read (status ${answer.status}).`);
}

function refusal({ reason, message }) {
  if (reason !== TOKEN_WANTED) return new Problem(reason, message);
  return new Problem(
    reason,
    token
      ? "The token is wrong. Give the one that the server was started with."
      : "Give the one that it was started with.",
  );
}

export async function taggers() {
  const found = await ask("taggers").catch((error) => {
    const known = sessionStorage.getItem("token");
    if (error.reason !== TOKEN_WANTED || token || !known) throw error;
    token = known; // of this server, perhaps, before the page was loaded again
    return ask("taggers");
  });
  limits = found.limits;
  return found.taggers.map((tagger) => ({
    ...tagger,
    thresholds: Object.fromEntries(
      Object.entries(tagger.thresholds).map(([level, known]) => [level, tagger.labels.map((label) => known[label])]),
    ),
  }));
}

// What is heard in a file: {starts, ends, scores} of windows, `clip` scores of the whole, warnings. One request has it
// all.
export async function tag({ file }, t, { signal }) {
  if (file.size > limits.bytes)
    throw new Problem(
      "too_large",
      `The file has ${megabytes(file.size)} MB, and this server takes ${megabytes(limits.bytes)}. Cut it, or pack it.`,
    );
  const query = new URLSearchParams({ tagger: t.name, timeline: true, scores: true });
  const found = await ask(`tag?${query}`, { method: "POST", body: file, signal });
  const rows = found.windows.map(({ scores }) => inOrder(scores, t));
  return {
    starts: found.windows.map(({ start }) => start),
    ends: found.windows.map(({ end }) => end),
    scores: Float64Array.from(rows.flat()),
    clip: Float64Array.from(inOrder(found.scores, t)),
    // What is said of clip scores alone, the page says itself.
    warnings: found.warnings.filter((warning) => warning !== uncalibrated(t, found.end - found.start)),
  };
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
const inOrder = (scores, t) => t.labels.map((label) => scores[label]);

// Hear a sound that arrives in blocks at some rate. `window` is told of each window as it becomes whole: {start, end,
// scores}; `problem` of what goes wrong. close() gives the last ones, and resolves when all are told.
export function stream(t, sampleRate, { window, problem }) {
  const query = new URLSearchParams({ tagger: t.name, sample_rate: sampleRate, format: "f32le", scores: true });
  const at = address(`stream?${query}`);
  at.protocol = at.protocol.replace("http", "ws");
  const socket = new WebSocket(at);
  socket.binaryType = "arraybuffer";
  const early = []; // blocks from before the server is ready
  let [isReady, isEnding, isOver] = [false, false, false];
  let over;
  const ended = new Promise((resolve) => (over = resolve));
  const end = (error = null) => {
    if (!isOver && error) problem(error);
    isOver = true;
    socket.close();
    over();
  };
  const told = {
    ready: () => {
      isReady = true;
      early.splice(0).forEach((block) => socket.send(block));
      if (isEnding) socket.send('{"type": "end"}');
    },
    window: ({ start, end, scores }) => window({ start, end, scores: Float64Array.from(inOrder(scores, t)) }),
    done: () => end(),
    error: (found) => end(refusal(found)),
  };
  socket.onopen = () => token && socket.send(JSON.stringify({ type: "token", token }));
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    told[message.type]?.(message);
  };
  socket.onclose = () => end(new Problem("gone", "The server has closed the stream. Is it running still?"));
  return {
    push: (block) => {
      if (isReady) socket.send(block);
      else early.push(block.slice());
    },
    close: () => {
      isEnding = true;
      if (isReady && !isOver) socket.send('{"type": "end"}');
      return ended;
    },
  };
}
