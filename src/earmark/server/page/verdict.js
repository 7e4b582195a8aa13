// What the scores of a sound say: of the whole, at a time, of a label. heard: {starts, ends, scores} of windows and
// `clip` scores of the whole, null where a sound was heard as it came.

import { asserted, limits, ranked } from "./reader.js";

const N_NAMED = 5; // labels of the headline

export const rowOf = (heard, i, t) => heard.scores.subarray(i * t.labels.length, (i + 1) * t.labels.length);

// What the whole is judged by: clip scores, or each label where it is strongest.
export function whole(heard, t) {
  if (heard.clip) return { row: heard.clip, level: "clip" };
  const row = new Float64Array(t.labels.length);
  heard.scores.forEach((score, at) => (row[at % row.length] = Math.max(row[at % row.length], score)));
  return { row, level: "window" };
}

const named = (numbers, t) => {
  const labels = numbers.slice(0, N_NAMED).map((label) => t.labels[label]);
  return labels.join("\u00a0· ") + (numbers.length > N_NAMED ? ` and ${numbers.length - N_NAMED} more` : "");
};

// The headline of the whole; inTime: the labels that some window asserts.
export function verdict(heard, t, threshold, inTime) {
  const { row, level } = whole(heard, t);
  const found = ranked(asserted(row, limits(t, level, threshold), t.multi_label), row);
  if (found.length) return named(found, t);
  if (inTime.length) return `In parts: ${named(inTime, t)}`;
  return "Nothing reached its threshold";
}

// The headline of the newest window.
export function verdictNow(heard, t, threshold) {
  const row = rowOf(heard, heard.starts.length - 1, t);
  const found = ranked(asserted(row, limits(t, "window", threshold), t.multi_label), row);
  return found.length ? named(found, t) : "Nothing reaches its threshold";
}

const indexOfLeast = (n, distance) => {
  let best = 0;
  for (let i = 1; i < n; i++) if (distance(i) < distance(best)) best = i;
  return best;
};

// The window whose middle is nearest.
export const windowAt = ({ starts, ends }, seconds) =>
  indexOfLeast(starts.length, (i) => Math.abs(starts[i] + ends[i] - 2 * seconds));

// The window in which a label is strongest.
export const strongest = ({ starts, scores }, t, label) =>
  indexOfLeast(starts.length, (i) => -scores[i * t.labels.length + label]);
