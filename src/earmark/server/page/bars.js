// One row of scores as bars: what is asserted, and what comes next.

import { asserted, ranked } from "./reader.js";

const N_SHOWN = 5; // at least
const N_ASSERTED = 15; // at most

// Which labels are shown, and which of them are asserted.
export function barsOf(row, limit, multiLabel) {
  const numbers = asserted(row, limit, multiLabel);
  const names = ranked(numbers, row).slice(0, N_ASSERTED);
  const more = ranked(row.keys(), row).filter((label) => !names.includes(label));
  return { numbers, shown: ranked([...names, ...more.slice(0, Math.max(0, N_SHOWN - names.length))], row) };
}

export class Bars {
  // play(label) lets a label be heard where it is strongest.
  constructor({ body, play }) {
    Object.assign(this, { body, play, rows: new Map() });
  }

  show(labels, row, limit, multiLabel) {
    const { numbers, shown } = barsOf(row, limit, multiLabel);
    // Where the keyboard is, a row stays.
    const kept = [...this.rows.values()].find(({ item }) => item.contains(document.activeElement));
    if (kept && !shown.includes(kept.label)) shown.push(kept.label);
    const rows = shown.map((label) => this.row(label, labels[label]));
    for (const [i, label] of shown.entries()) {
      const { item, filled, mark, score } = rows[i];
      item.classList.toggle("asserted", numbers.includes(label));
      filled.style.width = `${100 * row[label]}%`;
      mark.hidden = limit[label] > 1;
      mark.style.left = `${100 * Math.min(limit[label], 1)}%`;
      score.textContent = row[label].toFixed(3);
    }
    const order = rows.map(({ item }) => item);
    if (order.some((item, i) => this.body.children[i] !== item) || this.body.children.length !== order.length) {
      const focused = document.activeElement;
      this.body.replaceChildren(...order);
      if (focused?.isConnected) focused.focus({ preventScroll: true });
    }
  }

  row(label, name) {
    const known = this.rows.get(label);
    if (known) return known;
    const make = (kind, properties = {}) => Object.assign(document.createElement(kind), properties);
    const [item, title, cell] = [make("tr"), make("th", { scope: "row" }), make("td")];
    const [bar, filled, mark] = [make("div", { className: "bar" }), make("i"), make("b")];
    const score = make("td", { className: "n" });
    const button = make("button", {
      type: "button",
      className: "plain",
      textContent: name,
      title: `${name}: hear it where it is strongest`,
    });
    button.addEventListener("click", () => this.play(label));
    title.append(button);
    bar.append(filled, mark);
    cell.append(bar);
    item.append(title, cell, score);
    this.rows.set(label, { label, item, filled, mark, score });
    return this.rows.get(label);
  }

  clear() {
    this.rows.clear();
    this.body.replaceChildren();
  }
}
