// Read a tagger file and tag a mono 16-bit WAV of its sample rate with onnxruntime-web, in Node or a browser.
// onnxruntime-web cannot read an ONNX file's metadata, so the same JSON document stands beside it.
//
//   node read_tagger.mjs NAME.tagger.onnx NAME.tagger.json SOUND.wav [PATH OF onnxruntime-web's MODULE]

import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

function calibrate(scores, calibration, multiLabel) {
  if (calibration === null) return scores;
  const s = scores.map((x) => Math.min(Math.max(x, 1e-7), 1 - 1e-7));
  const logit = (x) => Math.log(x / (1 - x));
  if (calibration.kind === "platt")
    return s.map((x, i) => sigmoid(calibration.scale[i] * logit(x) + calibration.bias[i]));
  if (multiLabel) return s.map((x) => sigmoid(logit(x) / calibration.temperature));
  const powers = s.map((x) => x ** (1 / calibration.temperature));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((x) => x / sum);
}

function tags(scores, thresholds, t) {
  const chosen = t.multi_label ? scores.keys() : [scores.indexOf(Math.max(...scores))];
  const reached = (i) => thresholds[i] !== null && Math.fround(scores[i]) >= Math.fround(thresholds[i]); // null: never
  return [...chosen].filter(reached).map((i) => t.labels[i]);
}

function readWav(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 12; // chunks follow "RIFF", the size and "WAVE"
  while (view.getUint32(at, false) !== 0x64617461) at += 8 + view.getUint32(at + 4, true); // until "data"
  const n = view.getUint32(at + 4, true) / 2;
  return Float32Array.from({ length: n }, (_, i) => view.getInt16(at + 8 + 2 * i, true) / 32768);
}

// Start and length of what the graph hears of n samples; a start below 0 is silence before the recording.
function views(n, t) {
  const samplesIn = (seconds) => Math.floor(seconds * t.sample_rate + 0.5);
  const window = samplesIn(t.window_seconds);
  const hop = samplesIn(t.hop_seconds);
  const over = n - window;
  if (t.views === "full" || (t.views === "ends" && over < 0 && t.padding === "repeat"))
    return [[0, Math.max(n, window)]];
  if (t.views === "ends") {
    const offsets = [...new Set([0, Math.floor(Math.abs(over) / 2), Math.abs(over)])];
    return offsets.map((offset) => [over < 0 ? -offset : offset, window]);
  }
  const found = [];
  for (const length of t.views === "lengths" ? t.view_seconds.map(samplesIn) : [window]) {
    const first = found.length;
    for (let start = 0; start + length <= n; start += hop) found.push([start, length]);
    if (found.length === first) found.push([0, length]);
    if (found.at(-1)[0] < n - length) found.push([n - length, length]);
  }
  return found;
}

export async function readTagger(ort, graph, t, samples) {
  if (t.format !== "earmark-tagger" || t.format_version > 3) throw new Error("not a tagger of format version 1 to 3");
  const session = await ort.InferenceSession.create(graph);
  const repeat = t.padding === "repeat";
  const sample = (i) => (repeat ? samples[i % samples.length] : (samples[i] ?? 0)); // before and behind it: zeros
  const heard = views(samples.length, t);
  const rows = [];
  for (const [start, length] of heard) {
    const window = Float32Array.from({ length }, (_, i) => sample(start + i));
    const { scores } = await session.run({ waveform: new ort.Tensor("float32", window, [1, length]) });
    rows.push(Array.from(scores.data));
  }
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const logs = (values) => values.map((x) => Math.log(Math.min(Math.max(x, 1e-7), 1)));
  const pools = { mean, max: (values) => Math.max(...values), geometric: (values) => Math.exp(mean(logs(values))) };
  const pooled = t.labels.map((_, c) => pools[t.pool](rows.map((row) => row[c])));
  const clip = calibrate(pooled, t.calibration.clip, t.multi_label);
  return {
    starts: heard.map(([start]) => Math.max(start, 0)),
    window_scores: rows,
    window_tags: rows.map((row) => tags(row, t.thresholds.window, t)),
    clip_scores: clip,
    clip_tags: tags(clip, t.thresholds.clip, t),
  };
}

const [graph, json, sound, module] = process.argv.slice(2);
const ort = await import(module ? pathToFileURL(module).href : "onnxruntime-web");
ort.env.wasm.numThreads = 1;
const document = JSON.parse(await readFile(json, "utf8"));
console.log(JSON.stringify(await readTagger(ort, await readFile(graph), document, readWav(await readFile(sound)))));
