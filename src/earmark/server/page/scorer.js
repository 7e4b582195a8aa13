// A worker that runs the graphs, so that the page stays alive: one window after the other, one graph at a time.

import * as ort from "./onnxruntime-web/ort.wasm.min.js";

// One thread: more of them need headers that few hosts send. The names are said because hosts serve .mjs as all kinds
// of things.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = {
  mjs: new URL("./onnxruntime-web/ort-wasm-simd-threaded.js", import.meta.url).href,
  wasm: new URL("./onnxruntime-web/ort-wasm-simd-threaded.wasm", import.meta.url).href,
};
let open = { graph: null, session: null };

async function session(graph) {
  if (open.graph === graph) return open.session;
  await open.session?.release();
  open = { graph: null, session: null };
  const answer = await fetch(graph);
  if (!answer.ok) throw new Error(`${graph}: cannot be fetched (${answer.status}).`);
  open = { graph, session: await ort.InferenceSession.create(new Uint8Array(await answer.arrayBuffer())) };
  return open.session;
}

async function run({ graph, window }) {
  const waveform = new ort.Tensor("float32", window, [1, window.length]);
  const { scores } = await (await session(graph)).run({ waveform }, ["scores"]);
  return Float32Array.from(scores.data);
}

let last = Promise.resolve();
onmessage = ({ data }) => {
  // In order: a session hears one window at a time.
  last = last
    .then(() => run(data))
    .then(
      (scores) => postMessage({ number: data.number, scores }, [scores.buffer]),
      (error) => postMessage({ number: data.number, error: error.message }),
    );
};
