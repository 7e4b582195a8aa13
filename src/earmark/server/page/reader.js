// The reader of tagger files: everything around the graph, as docs/tagger-file.md specifies it. It knows neither ONNX
// Runtime nor files nor the page; docs/tagger-file/read_tagger.mjs runs it against the test vectors.
//
// t is always a tagger's metadata. Samples and scores are Float32Arrays; the scores of several windows lie one window
// after the other.

const FORMAT_VERSION = 3;
const SCORE_MARGIN = 1e-7; // scores are kept this far from 0 and 1 before a logarithm is taken
const KNOWN = {
  padding: ["zeros", "repeat"],
  pool: ["mean", "max", "geometric"],
  views: ["sliding", "ends", "full", "lengths"],
};

// Metadata as they are, or an error that says why they cannot be read.
export function checked(t) {
  if (t?.format !== "earmark-tagger") throw new Error("The tagger's metadata are not those of a tagger file.");
  if (!(t.format_version <= FORMAT_VERSION))
    throw new Error(
      `The tagger is of format version ${t.format_version}, and this page reads up to ${FORMAT_VERSION}.`,
    );
  for (const [field, known] of Object.entries(KNOWN))
    if (!known.includes(t[field]))
      throw new Error(`The tagger's ${field} is “${t[field]}”, which this page does not know.`);
  return t;
}

export const samplesIn = (seconds, t) => Math.floor(seconds * t.sample_rate + 0.5);

// Start and length of what the graph hears of n samples; a start below 0 is silence before the recording.
export function views(n, t) {
  const window = samplesIn(t.window_seconds, t);
  const hop = samplesIn(t.hop_seconds, t);
  const over = n - window;
  if (t.views === "full" || (t.views === "ends" && over < 0 && t.padding === "repeat"))
    return [[0, Math.max(n, window)]];
  if (t.views === "ends") {
    const offsets = [...new Set([0, Math.floor(Math.abs(over) / 2), Math.abs(over)])];
    return offsets.map((offset) => [over < 0 ? -offset : offset, window]);
  }
  const found = [];
  for (const length of t.views === "lengths" ? t.view_seconds.map((seconds) => samplesIn(seconds, t)) : [window]) {
    const first = found.length;
    for (let start = 0; start + length <= n; start += hop) found.push([start, length]);
    if (found.length === first) found.push([0, length]);
    if (found.at(-1)[0] < n - length) found.push([n - length, length]);
  }
  return found;
}

// From where to where a view reaches in a recording of n samples, in seconds.
export const reach = ([start, length], n, t) => [
  Math.max(start, 0) / t.sample_rate,
  Math.min(start + length, n) / t.sample_rate,
];

// What the graph hears of a view.
export function cut(samples, [start, length], t) {
  const n = samples.length;
  if (start >= 0 && start + length <= n) return samples.slice(start, start + length);
  const window = new Float32Array(length);
  if (t.padding === "repeat") for (let i = 0; i < length; i++) window[i] = samples[i % n];
  else window.set(samples.subarray(Math.max(start, 0), start + length), Math.max(-start, 0));
  return window;
}

// The sliding windows of a sound that arrives in blocks, holding no more than a window and a block.
export class Windows {
  constructor(t) {
    this.t = t;
    this.length = samplesIn(t.window_seconds, t);
    this.hop = samplesIn(t.hop_seconds, t);
    this.held = new Float32Array(0);
    this.heldStart = 0; // index in the recording of held[0]
    this.next = 0;
  }

  // The windows that became whole: {samples, start, end}, in seconds.
  push(block) {
    const held = new Float32Array(this.held.length + block.length);
    held.set(this.held);
    held.set(block, this.held.length);
    this.held = held;
    const whole = [];
    for (; this.next + this.length <= this.heldStart + this.held.length; this.next += this.hop)
      whole.push(this.window(this.next));
    // The last window may have to reach back a whole window from the end, so that much is kept.
    const drop = Math.min(this.next - this.heldStart, this.held.length - this.length);
    if (drop > 0) {
      this.held = this.held.slice(drop);
      this.heldStart += drop;
    }
    return whole;
  }

  // The window that ends where the sound ends, unless there was one.
  close() {
    const n = this.heldStart + this.held.length;
    const lastStop = this.next ? this.next - this.hop + this.length : 0;
    if (n && n < this.length)
      return [{ samples: cut(this.held, [0, this.length], this.t), start: 0, end: n / this.t.sample_rate }];
    return n > lastStop ? [this.window(n - this.length)] : [];
  }

  window(start) {
    const samples = this.held.slice(start - this.heldStart, start - this.heldStart + this.length);
    return { samples, start: start / this.t.sample_rate, end: (start + this.length) / this.t.sample_rate };
  }
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

export function calibrate(scores, calibration, multiLabel) {
  if (calibration === null) return scores;
  const inside = Array.from(scores, (x) => Math.min(Math.max(x, SCORE_MARGIN), 1 - SCORE_MARGIN));
  const logit = (x) => Math.log(x / (1 - x));
  if (calibration.kind === "platt")
    return inside.map((x, i) => sigmoid(calibration.scale[i] * logit(x) + calibration.bias[i]));
  if (calibration.kind !== "temperature")
    throw new Error(`The tagger's calibration “${calibration.kind}” is not known.`);
  if (multiLabel) return inside.map((x) => sigmoid(logit(x) / calibration.temperature));
  const powers = inside.map((x) => x ** (1 / calibration.temperature));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((x) => x / sum);
}

// Scores of a clip from those of its windows: pooled, then calibrated.
export function clipScores(scores, t) {
  const classes = t.labels.length;
  const n = scores.length / classes;
  const pooled = new Float64Array(classes).fill(t.pool === "max" ? -Infinity : 0);
  scores.forEach((score, at) => {
    const label = at % classes;
    if (t.pool === "max") pooled[label] = Math.max(pooled[label], score);
    else pooled[label] += (t.pool === "mean" ? score : Math.log(Math.min(Math.max(score, SCORE_MARGIN), 1))) / n;
  });
  return Float32Array.from(
    calibrate(t.pool === "geometric" ? pooled.map(Math.exp) : pooled, t.calibration.clip, t.multi_label),
  );
}

// From which score each label is asserted; Infinity: never. threshold: for all in the place of the tagger's own, null:
// those.
export const limits = (t, level, threshold = null) =>
  Float32Array.from(t.thresholds[level], (own) => threshold ?? own ?? Infinity);

// The numbers of the labels that one row of scores asserts, in the order of the labels.
export function asserted(row, limit, multiLabel) {
  if (!row.length) return [];
  const reached = (label) => Math.fround(row[label]) >= limit[label]; // in single precision
  if (multiLabel) {
    const found = [];
    for (let label = 0; label < row.length; label++) if (reached(label)) found.push(label);
    return found;
  }
  const best = row.reduce((found, score, label) => (score > row[found] ? label : found), 0);
  return reached(best) ? [best] : [];
}

// Numbers of labels, highest score first, the first of equals.
export const ranked = (numbers, row) => [...numbers].sort((a, b) => row[b] - row[a] || a - b);

// A number in six digits at most, as all of Earmark's texts have it.
export const short = (x) => Number(x.toPrecision(6));

const LENGTH_TOLERANCE_SECONDS = 0.05; // a clip this much over clip_seconds_max is still of that length

// What is to be said of the clip scores of a sound longer than those that they were calibrated on; null of others.
export function uncalibrated(t, seconds) {
  if (t.clip_seconds_max == null || seconds <= t.clip_seconds_max + LENGTH_TOLERANCE_SECONDS) return null;
  return (
    `${seconds.toFixed(1)} s long, tagger's clip scores were calibrated up to ${short(t.clip_seconds_max)} s: ` +
    "they and the thresholds are uncalibrated here. Take the timeline."
  );
}
