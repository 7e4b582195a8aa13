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
  const reached = (i) => Math.fround(scores[i]) >= Math.fround(thresholds[i]);
  return [...chosen].filter(reached).map((i) => t.labels[i]);
}

function readWav(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 12; // chunks follow "RIFF", the size and "WAVE"
  while (view.getUint32(at, false) !== 0x64617461) at += 8 + view.getUint32(at + 4, true); // until "data"
  const n = view.getUint32(at + 4, true) / 2;
  return Float32Array.from({ length: n }, (_, i) => view.getInt16(at + 8 + 2 * i, true) / 32768);
}

export async function readTagger(ort, graph, t, samples) {
  if (t.format !== "earmark-tagger" || t.format_version > 1) throw new Error("not a tagger of format version 1");
  const session = await ort.InferenceSession.create(graph);
  const n = samples.length;
  const window = Math.floor(t.window_seconds * t.sample_rate + 0.5);
  const hop = Math.floor(t.hop_seconds * t.sample_rate + 0.5);
  const starts = [];
  for (let start = 0; start + window <= n; start += hop) starts.push(start);
  if (!starts.length) starts.push(0);
  if (starts.at(-1) < n - window) starts.push(n - window);
  const repeat = t.padding === "repeat";
  const sample = (i) => (i < n ? samples[i] : repeat ? samples[i % n] : 0);
  const windows = new Float32Array(starts.length * window);
  starts.forEach((start, row) => {
    for (let i = 0; i < window; i++) windows[row * window + i] = sample(start + i);
  });
  const waveform = new ort.Tensor("float32", windows, [starts.length, window]);
  const { scores } = await session.run({ waveform });
  const classes = t.labels.length;
  const rows = starts.map((_, r) => Array.from(scores.data.slice(r * classes, (r + 1) * classes)));
  const column = (c) => rows.map((row) => row[c]);
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const pooled = t.labels.map((_, c) => (t.pool === "max" ? Math.max(...column(c)) : mean(column(c))));
  const clip = calibrate(pooled, t.calibration.clip, t.multi_label);
  return {
    starts,
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
