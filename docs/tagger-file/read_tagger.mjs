// Read a tagger file and tag a mono 16-bit WAV of its sample rate with onnxruntime-web, in Node (20.19 or newer).
// onnxruntime-web cannot read an ONNX file's metadata, so the same JSON document stands beside it. What happens around
// the graph is in reader.js, which the page of `earmark serve` and `earmark export --web` runs, too.
//
//   node read_tagger.mjs NAME.tagger.onnx NAME.tagger.json SOUND.wav [PATH OF onnxruntime-web's MODULE]

import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { asserted, checked, clipScores, cut, limits, reach, views } from "../../src/earmark/server/page/reader.js";
import { readWav } from "../../src/earmark/server/page/wav.js";

export async function readTagger(ort, graph, t, samples) {
  const session = await ort.InferenceSession.create(graph);
  const heard = views(samples.length, checked(t));
  const rows = [];
  for (const view of heard) {
    const window = cut(samples, view, t);
    const { scores } = await session.run({ waveform: new ort.Tensor("float32", window, [1, window.length]) });
    rows.push(scores.data);
  }
  const clip = clipScores(Float32Array.from(rows.flatMap((row) => [...row])), t);
  const tags = (row, level) => asserted(row, limits(t, level), t.multi_label).map((label) => t.labels[label]);
  return {
    starts: heard.map((view) => Math.round(reach(view, samples.length, t)[0] * t.sample_rate)),
    window_scores: rows.map((row) => [...row]),
    window_tags: rows.map((row) => tags(row, "window")),
    clip_scores: [...clip],
    clip_tags: tags(clip, "clip"),
  };
}

const [graph, json, sound, module] = process.argv.slice(2);
const ort = await import(module ? pathToFileURL(module).href : "onnxruntime-web");
ort.env.wasm.numThreads = 1;
const document = JSON.parse(await readFile(json, "utf8"));
const { samples } = await readWav(new Blob([await readFile(sound)]));
console.log(JSON.stringify(await readTagger(ort, await readFile(graph), document, samples)));
