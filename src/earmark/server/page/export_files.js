// The tags of the windows as files: the very text that `earmark tag --timeline --format …` writes.

import { asserted, limits, ranked } from "./reader.js";

// As Python prints a float: the fewest digits that tell it from its neighbours, always with a point or an exponent.
export function floatText(x) {
  const [digits, power] = x.toExponential().split("e");
  if (x === 0 || (power >= -4 && power < 16)) return Number.isInteger(x) ? `${x}.0` : String(x);
  return `${digits}e${power[0]}${power.slice(1).padStart(2, "0")}`;
}

// A whole number and the decimals behind it, rounded; halves to the even one, as Python does.
function rounded(whole, decimals) {
  const rest = decimals.replace(/0+$/, "");
  return BigInt(whole) + BigInt(rest > "5" || (rest === "5" && BigInt(whole) % 2n === 1n));
}

// A score without the digits that single precision does not have.
export function shortScore(x) {
  const [digits, power] = x.toExponential(40).split("e");
  return Number(`${rounded(digits.slice(0, 8).replace(".", ""), digits.slice(8))}e${power - 6}`);
}

// Seconds to the microsecond, without needless zeros.
export function secondsText(seconds) {
  const [whole, decimals] = seconds.toFixed(40).split(".");
  const micro = String(rounded(whole + decimals.slice(0, 6), decimals.slice(6))).padStart(7, "0");
  return `${micro.slice(0, -6)}.${micro.slice(-6)}`.replace(/\.?0+$/, "");
}

const BLANKS = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;
const cell = (text) => text.split(BLANKS).filter(Boolean).join(" "); // tabs and line breaks would break a row
const csvCell = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const csvRow = (cells) => `${cells.map(csvCell).join(",")}\n`;

// The windows, each with the tags that reach their thresholds, highest first.
function rows({ tagger, heard, threshold }) {
  const limit = limits(tagger, "window", threshold);
  return Array.from(heard.starts, (start, i) => {
    const row = heard.scores.subarray(i * tagger.labels.length, (i + 1) * tagger.labels.length);
    const found = ranked(asserted(row, limit, tagger.multi_label), row);
    return {
      start,
      end: heard.ends[i],
      tags: found.map((label) => ({ label: tagger.labels[label], score: shortScore(row[label]) })),
    };
  });
}

function csv(result) {
  const lines = [csvRow(["path", "start", "end", "label", "score"])];
  for (const { start, end, tags } of rows(result))
    for (const { label, score } of tags)
      lines.push(csvRow([result.name, secondsText(start), secondsText(end), label, floatText(score)]));
  return lines.join("");
}

function jsonLines(result) {
  const seconds = (x) => floatText(Number(secondsText(x)));
  return rows(result)
    .map(({ start, end, tags }) => {
      const told = tags.map(({ label, score }) => `{"label": ${JSON.stringify(label)}, "score": ${floatText(score)}}`);
      const unknown = tags.length ? "" : '"unknown": true, ';
      const warnings = result.heard.warnings.length
        ? `, "warnings": [${result.heard.warnings.map((warning) => JSON.stringify(warning)).join(", ")}]`
        : "";
      return (
        `{"path": ${JSON.stringify(result.name)}, "start": ${seconds(start)}, "end": ${seconds(end)}, ` +
        `"tags": [${told.join(", ")}], ${unknown}"error": null${warnings}}\n`
      );
    })
    .join("");
}

function audacity(result) {
  const lines = rows(result).flatMap(({ start, end, tags }) =>
    tags.map(({ label }) => `${secondsText(start)}\t${secondsText(end)}\t${cell(label)}\n`),
  );
  return lines.join("");
}

const RAVEN_COLUMNS = [
  ...[
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Label",
    "Score",
  ],
];

function raven(result) {
  const highest = secondsText(result.tagger.sample_rate / 2);
  const told = rows(result).flatMap(({ start, end, tags }) => tags.map((tag) => ({ start, end, ...tag })));
  const lines = told.map(({ start, end, label, score }, i) => [
    ...[i + 1, "Spectrogram 1", 1, secondsText(start), secondsText(end), 0, highest, cell(label), floatText(score)],
  ]);
  return [RAVEN_COLUMNS, ...lines].map((cells) => `${cells.join("\t")}\n`).join("");
}

// result: {name, tagger, heard, threshold}; name is the file's, threshold null for the tagger's own.
export const FORMATS = {
  csv: { title: "CSV", suffix: ".csv", kind: "text/csv", write: csv },
  jsonl: { title: "JSON lines", suffix: ".jsonl", kind: "application/x-ndjson", write: jsonLines },
  audacity: { title: "Audacity", suffix: ".txt", kind: "text/plain", write: audacity },
  raven: { title: "Raven", suffix: ".Table.1.selections.txt", kind: "text/plain", write: raven },
};

// Let the browser save a file; its name.
export function download({ suffix, kind, write }, result) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([write(result)], { type: kind }));
  link.download = `${result.name}${suffix}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  return link.download;
}
