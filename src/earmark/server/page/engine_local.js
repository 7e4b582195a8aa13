// Tags on this machine: the tagger files beside the page, in onnxruntime-web. Nothing leaves the browser.
// engine_server.js offers the same: WHERE, taggers, tag, stream, useToken, offline.

import { Problem } from "./problems.js";
import { checked, clipScores, cut, reach, short, views, Windows } from "./reader.js";
import { Resampler } from "./resample.js";

export const WHERE = "Tagged in this browser: no sound leaves it.";

let scorer = null;
let number = 0;
const waiting = new Map();

function score(t, window) {
  if (!scorer) {
    scorer = new Worker(new URL("./scorer.js", import.meta.url), { type: "module" });
    scorer.onmessage = ({ data }) => {
      const { resolve, reject } = waiting.get(data.number);
      waiting.delete(data.number);
      if (data.error === undefined) resolve(data.scores);
      else reject(new Problem("failed", `The tagger ${t.name} does not run in this browser (${data.error}).`));
    };
    scorer.onerror = () => {
      const problem = new Problem(
        "failed",
        "ONNX Runtime does not start in this browser. Take a current one, or load the page again.",
      );
      for (const { reject } of waiting.values()) reject(problem);
      waiting.clear();
      scorer = null;
    };
  }
  return new Promise((resolve, reject) => {
    waiting.set(++number, { resolve, reject });
    scorer.postMessage({ number, graph: t.graph, window }, [window.buffer]);
  });
}

async function fetched(address) {
  const answer = await fetch(address).catch(() => null);
  if (!answer?.ok)
    throw new Problem("gone", `${address} cannot be fetched. Was the folder copied whole, and is its server running?`);
  return answer.json();
}

// What is said of each tagger: its metadata, and `graph`, where its file is.
export async function taggers() {
  const { taggers: listed } = await fetched(new URL("./taggers.json", import.meta.url));
  return Promise.all(
    listed.map(async ({ file, metadata, identity }) => {
      const at = (name) => new URL(`./taggers/${encodeURIComponent(name)}`, import.meta.url).href;
      return { ...checked(await fetched(at(metadata))), graph: at(file), identity };
    }),
  );
}

// What is heard in a sound: {starts, ends, scores} of windows, `clip` scores of the whole, warnings.
export async function tag({ sound }, t, { signal, progress }) {
  const { samples, fileRate } = await sound;
  const heard = views(samples.length, t);
  const [starts, ends] = [0, 1].map((edge) => Float64Array.from(heard, (view) => reach(view, samples.length, t)[edge]));
  const scores = new Float32Array(heard.length * t.labels.length);
  for (const [i, view] of heard.entries()) {
    scores.set(await score(t, cut(samples, view, t)), i * t.labels.length);
    signal.throwIfAborted();
    progress((i + 1) / heard.length);
  }
  return { starts, ends, scores, clip: clipScores(scores, t), warnings: warnings(t, fileRate) };
}

function warnings(t, fileRate) {
  if (fileRate === null || fileRate >= t.sample_rate) return [];
  return [
    `${fileRate} Hz recording, tagger hears up to ${short(t.sample_rate / 2)} Hz: ` +
      `nothing above ${short(fileRate / 2)} Hz is there to hear, scores may be off.`,
  ];
}

// Hear a sound that arrives in blocks at some rate. `window` is told of each window as it becomes whole: {start, end,
// scores}; `problem` of what goes wrong. close() gives the last ones, and resolves when all are told.
export function stream(t, sampleRate, { window, problem }) {
  const resampler = new Resampler(sampleRate, t.sample_rate);
  const windows = new Windows(t);
  let last = Promise.resolve();
  const hear = (found) => {
    for (const { samples, start, end } of found)
      last = last.then(() => score(t, samples)).then((scores) => window({ start, end, scores }));
    last = last.catch(problem);
  };
  return {
    push: (block) => hear(windows.push(resampler.push(block))),
    close: () => {
      hear(windows.push(resampler.close()));
      hear(windows.close());
      return last;
    },
  };
}

// No server, no token.
export function useToken() {}

// The page kept on this machine, to be used without a network: null where a browser cannot.
export const offline = navigator.serviceWorker && {
  isKept: async () => Boolean((await navigator.serviceWorker.getRegistration(new URL("./", import.meta.url)))?.active),
  keep: async () => {
    const { serviceWorker } = navigator;
    const found = await serviceWorker.register(new URL("./offline.js", import.meta.url));
    const worker = found.installing ?? found.waiting ?? found.active;
    await new Promise((resolve, reject) => {
      const look = () => {
        if (worker.state === "activated") resolve();
        if (worker.state === "redundant")
          reject(new Problem("gone", "Not all of the page could be fetched. Try again."));
      };
      worker.addEventListener("statechange", look);
      look();
    });
  },
};
