// Tags over time: a lane for each label that is asserted, drawn on canvas; the darker, the higher the score.

import { asserted } from "./reader.js";
import { clock, fitted } from "./picture.js";

const N_FIRST = 10; // lanes before “all” is asked for
const FAINTEST = 0.3;

// Windows in which each label is asserted, the labels with the highest score first: {label, windows, stretches, best}.
export function lanesOf(tagger, heard, limit) {
  const classes = tagger.labels.length;
  const found = new Map();
  for (let i = 0; i < heard.starts.length; i++) {
    const row = heard.scores.subarray(i * classes, (i + 1) * classes);
    for (const label of asserted(row, limit, tagger.multi_label)) {
      if (!found.has(label)) found.set(label, []);
      found.get(label).push({ start: heard.starts[i], end: heard.ends[i], score: row[label] });
    }
  }
  const lanes = [...found].map(([label, windows]) => {
    windows.sort((a, b) => a.start - b.start);
    const best = windows.reduce((a, b) => (b.score > a.score ? b : a));
    return { label, windows, best, stretches: stretchesOf(windows) };
  });
  return lanes.sort((a, b) => b.best.score - a.best.score || a.label - b.label);
}

// Windows that overlap or touch, as one; `best` is the highest of them.
function stretchesOf(windows) {
  const found = [];
  for (const window of windows) {
    const last = found.at(-1);
    if (!last || window.start > last.end + 1e-6) found.push({ start: window.start, end: window.end, best: window });
    else {
      last.end = Math.max(last.end, window.end);
      if (window.score > last.best.score) last.best = window;
    }
  }
  return found;
}

export class Timeline {
  // play(start, end) lets a stretch be heard; say(text) tells it to who cannot see.
  constructor({ list, all, play, say }) {
    Object.assign(this, { list, all, play, say, lanes: [], rows: [], isWhole: false, view: { from: 0, to: 1 } });
    all.addEventListener("click", () => {
      this.isWhole = !this.isWhole;
      this.build();
    });
  }

  show(tagger, heard, limit) {
    this.labels = tagger.labels;
    this.lanes = lanesOf(tagger, heard, limit);
    this.build();
  }

  build() {
    const shown = this.isWhole ? this.lanes : this.lanes.slice(0, N_FIRST);
    const focused = this.rows.find(({ button }) => button === document.activeElement)?.lane.label;
    this.rows = shown.map((lane) => this.row(lane));
    this.list.replaceChildren(...this.rows.map(({ item }) => item));
    this.rows.find(({ lane }) => lane.label === focused)?.button.focus();
    this.all.hidden = this.lanes.length <= N_FIRST;
    this.all.textContent = this.isWhole ? `The first ${N_FIRST} labels` : `All ${this.lanes.length} labels`;
    this.all.setAttribute("aria-expanded", this.isWhole);
    this.draw(this.view);
  }

  row(lane) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const [name, canvas] = [document.createElement("span"), document.createElement("canvas")];
    name.textContent = name.title = this.labels[lane.label];
    canvas.setAttribute("aria-hidden", "true");
    Object.assign(button, { type: "button", className: "lane" });
    const n = lane.stretches.length;
    button.setAttribute(
      "aria-label",
      `${this.labels[lane.label]}: ${n} ${n > 1 ? "stretches" : "stretch"}, the strongest ${told(lane.best)}`,
    );
    button.setAttribute("aria-describedby", "lane-moves");
    button.append(name, canvas);
    item.append(button);
    const row = { lane, item, button, canvas, chosen: null };
    button.addEventListener("click", (event) => this.clicked(row, event));
    button.addEventListener("keydown", (event) => this.moved(row, event));
    return row;
  }

  // By a pointer: what is under it; by a key: the chosen stretch, or the strongest.
  clicked({ lane, canvas, chosen }, event) {
    const box = canvas.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    let { best } = chosen ?? lane;
    if (event.detail && share >= 0 && share <= 1) {
      const at = this.view.from + share * (this.view.to - this.view.from);
      const distance = ({ start, end }) => Math.max(start - at, at - end, 0);
      best = lane.windows.reduce((a, b) => ((distance(b) - distance(a) || a.score - b.score) < 0 ? b : a));
    }
    this.play(best.start, best.end);
  }

  moved(row, event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const { stretches } = row.lane;
    const at = row.chosen ? stretches.indexOf(row.chosen) + step : step > 0 ? 0 : stretches.length - 1;
    row.chosen = stretches[Math.min(Math.max(at, 0), stretches.length - 1)];
    this.say(`${this.labels[row.lane.label]} ${told(row.chosen.best)}`);
    this.draw(this.view);
  }

  draw(view) {
    this.view = view;
    for (const row of this.rows) this.paint(row);
  }

  paint({ lane, canvas, chosen }) {
    const { width, height } = fitted(canvas);
    const drawn = canvas.getContext("2d");
    const { from, to } = this.view;
    const at = (seconds) => ((seconds - from) / (to - from)) * width;
    drawn.clearRect(0, 0, width, height);
    drawn.fillStyle = drawn.strokeStyle = getComputedStyle(canvas).color;
    // The highest of the windows over each pixel: overlapping ones must not add up.
    const shade = new Float32Array(width);
    for (const { start, end, score } of lane.windows) {
      const stop = Math.min(Math.max(Math.round(at(end)), Math.floor(at(start)) + 1), width);
      for (let x = Math.max(0, Math.floor(at(start))); x < stop; x++) shade[x] = Math.max(shade[x], score);
    }
    for (let x = 0, first = 0; x <= width; x++) {
      if (x < width && shade[x] === shade[first]) continue;
      drawn.globalAlpha = FAINTEST + (1 - FAINTEST) * shade[first];
      if (shade[first]) drawn.fillRect(first, height * 0.22, x - first, height * 0.56);
      first = x;
    }
    drawn.globalAlpha = 1;
    if (!chosen) return;
    drawn.lineWidth = 2 * devicePixelRatio;
    drawn.strokeRect(at(chosen.start), height * 0.1, at(chosen.end) - at(chosen.start), height * 0.8);
  }
}

const told = ({ score, start, end }) => `${score.toFixed(2)} from ${clock(start, 1)} to ${clock(end, 1)}`;
