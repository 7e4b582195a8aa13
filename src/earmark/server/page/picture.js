// A sound as a waveform and a spectrogram: mel-spaced rows, 75 dB below the peak black, as in Earmark's reports.
// Columns lie on a grid in time and are kept, so that a picture that grows or moves computes what is new alone.

const N_ROWS = 160;
const MOST_COLUMNS = 1200;
const FRAMES_PER_COLUMN = 3; // at most, spread over it
const RANGE_DB = 75;
const FAINT_DB = -40; // fainter sounds stay dark
const WINDOW_SECONDS = 0.046;
const BUSY_MS = 12; // of computing before the page is let breathe
const PEAK_SAMPLES = 512; // whose lowest and highest are kept together
// Every 16th colour of matplotlib's magma, and its last.
const MAGMA =
  "000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 " +
  "d0416f e75263 f56b5c fc8961 fea772 fec488 fde2a3 fcfdbf";

const mel = (hertz) => 2595 * Math.log10(1 + hertz / 700); // Source: O'Shaughnessy 1987
const hertz = (mel) => 700 * (10 ** (mel / 2595) - 1);

const COLOURS = (() => {
  const anchors = MAGMA.split(" ").map((colour) => [0, 2, 4].map((at) => parseInt(colour.slice(at, at + 2), 16)));
  return Uint32Array.from({ length: 256 }, (_, level) => {
    const at = (level / 255) * (anchors.length - 1);
    const low = Math.min(Math.floor(at), anchors.length - 2);
    const [red, green, blue] = [0, 1, 2].map((i) =>
      Math.round(anchors[low][i] + (at - low) * (anchors[low + 1][i] - anchors[low][i])),
    );
    return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0; // as image data have it
  });
})();

// Power of a frame's frequencies, in place: radix 2.
class Fourier {
  constructor(n) {
    this.n = n;
    this.window = Float32Array.from({ length: n }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (n - 1)));
    this.cos = Float64Array.from({ length: n / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / n));
    this.sin = Float64Array.from({ length: n / 2 }, (_, i) => -Math.sin((2 * Math.PI * i) / n));
    const bits = Math.log2(n);
    this.reversed = Uint32Array.from({ length: n }, (_, i) =>
      parseInt(i.toString(2).padStart(bits, "0").split("").reverse().join(""), 2),
    );
    [this.real, this.imaginary] = [new Float64Array(n), new Float64Array(n)];
  }

  // Adds the power of bins 0 to n / 2 of n samples that begin at first; beyond the sound is silence.
  add(samples, first, power) {
    const { n, real, imaginary } = this;
    for (let i = 0; i < n; i++) real[this.reversed[i]] = (samples[first + i] ?? 0) * this.window[i];
    imaginary.fill(0);
    for (let half = 1; half < n; half *= 2)
      for (let start = 0; start < n; start += 2 * half)
        for (let k = 0, turn = 0; k < half; k++, turn += n / (2 * half)) {
          const [a, b] = [start + k, start + k + half];
          const re = real[b] * this.cos[turn] - imaginary[b] * this.sin[turn];
          const im = real[b] * this.sin[turn] + imaginary[b] * this.cos[turn];
          real[b] = real[a] - re;
          imaginary[b] = imaginary[a] - im;
          real[a] += re;
          imaginary[a] += im;
        }
    for (let bin = 0; bin <= n / 2; bin++) power[bin] += real[bin] ** 2 + imaginary[bin] ** 2;
  }
}

export class Picture {
  // samples: () => Float32Array, which may grow. topHz: where the picture ends.
  constructor(samples, sampleRate, topHz) {
    Object.assign(this, { samples, sampleRate });
    this.fourier = new Fourier(2 ** Math.round(Math.log2(WINDOW_SECONDS * sampleRate)));
    this.edges = Float64Array.from(
      { length: N_ROWS + 1 },
      (_, row) => hertz((mel(topHz) * row) / N_ROWS) / (sampleRate / this.fourier.n) + 0.5,
    );
    this.columns = new Map();
    this.columnSeconds = 0;
    this.brightest = FAINT_DB;
    [this.lows, this.highs] = [[], []];
    this.turn = 0;
    this.isGrowing = false; // more samples come
    this.painted = null; // the picture as it was last
  }

  // Decibels of a column, low rows first; null where there is no sound yet.
  column(number) {
    const known = this.columns.get(number);
    if (known) return known;
    const { n } = this.fourier;
    const samples = this.samples();
    const middle = (share) => Math.round((number + share) * this.columnSeconds * this.sampleRate);
    if (middle(0) >= samples.length || (this.isGrowing && middle(1) + n / 2 > samples.length)) return null;
    const nFrames = Math.min(FRAMES_PER_COLUMN, Math.ceil((this.columnSeconds * this.sampleRate) / n));
    const power = new Float64Array(n / 2 + 1);
    for (let frame = 0; frame < nFrames; frame++)
      this.fourier.add(samples, middle((frame + 0.5) / nFrames) - n / 2, power);
    // The running integral over frequency (bin k is k ± 1/2), read at the band edges: right for any width.
    const integral = new Float64Array(power.length + 1);
    power.forEach((value, bin) => (integral[bin + 1] = integral[bin] + value / nFrames));
    const read = Array.from(this.edges, (at) => {
      const low = Math.min(Math.floor(at), power.length - 1);
      return integral[low] + Math.min(at - low, 1) * (integral[low + 1] - integral[low]);
    });
    const decibels = Float32Array.from({ length: N_ROWS }, (_, row) => {
      const mean = (read[row + 1] - read[row]) / (this.edges[row + 1] - this.edges[row]);
      return 10 * Math.log10(Math.max(mean, 1e-30));
    });
    for (const value of decibels) this.brightest = Math.max(this.brightest, value);
    this.columns.set(number, decibels);
    return decibels;
  }

  // Draw from one second to another, a little at a time; a later call takes over from one that is not done.
  async spectrogram(canvas, from, to) {
    const turn = ++this.turn;
    const width = canvas.width;
    const shownSeconds = (to - from) / Math.min(MOST_COLUMNS, fitted(canvas).width);
    if (canvas.width !== width && this.painted) this.stretch(canvas); // until it is drawn anew
    if (Math.abs(shownSeconds - this.columnSeconds) > 1e-9) {
      this.columns.clear();
      this.columnSeconds = shownSeconds;
    }
    const first = Math.floor(from / this.columnSeconds + 1e-6);
    const n = Math.round((to - from) / this.columnSeconds);
    let since = performance.now();
    for (let number = first; number < first + n; number++) {
      this.column(number);
      if (performance.now() - since < BUSY_MS) continue;
      this.paint(canvas, first, n);
      await new Promise((resolve) => setTimeout(resolve));
      if (turn !== this.turn) return;
      since = performance.now();
    }
    this.paint(canvas, first, n);
  }

  paint(canvas, first, n) {
    const image = new ImageData(n, N_ROWS);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < n; i++) {
      const decibels = this.columns.get(first + i);
      if (!decibels) continue;
      for (let row = 0; row < N_ROWS; row++) {
        const level = 255 * ((decibels[row] - this.brightest) / RANGE_DB + 1);
        pixels[(N_ROWS - 1 - row) * n + i] = COLOURS[Math.round(Math.min(Math.max(level, 0), 255))];
      }
    }
    this.painted = new OffscreenCanvas(n, N_ROWS);
    this.painted.getContext("2d").putImageData(image, 0, 0);
    this.stretch(canvas);
  }

  stretch(canvas) {
    canvas.getContext("2d").drawImage(this.painted, 0, 0, canvas.width, canvas.height);
  }

  waveform(canvas, from, to) {
    const { width, height } = fitted(canvas);
    const drawn = canvas.getContext("2d");
    drawn.clearRect(0, 0, width, height);
    drawn.fillStyle = getComputedStyle(canvas).color;
    const perPixel = ((to - from) * this.sampleRate) / width;
    for (let x = 0; x < width; x++) {
      const found = this.extremes(Math.round(from * this.sampleRate + x * perPixel), Math.ceil(perPixel));
      if (!found) break;
      const [low, high] = found.map((value) => Math.max(-1, Math.min(1, value)) * (height / 2));
      drawn.fillRect(x, height / 2 - high, 1, Math.max(high - low, 1));
    }
  }

  // The lowest and the highest of n samples, to the nearest block where there are many; null behind the end.
  extremes(first, n) {
    const samples = this.samples();
    if (first >= samples.length) return null;
    let [low, high] = [Infinity, -Infinity];
    const stop = Math.min(first + n, samples.length);
    if (n < 4 * PEAK_SAMPLES) {
      for (let i = Math.max(first, 0); i < stop; i++) {
        if (samples[i] < low) low = samples[i];
        if (samples[i] > high) high = samples[i];
      }
      return low <= high ? [low, high] : [0, 0];
    }
    while ((this.lows.length + 1) * PEAK_SAMPLES <= samples.length) {
      const block = samples.subarray(this.lows.length * PEAK_SAMPLES, (this.lows.length + 1) * PEAK_SAMPLES);
      this.lows.push(block.reduce((a, b) => (b < a ? b : a)));
      this.highs.push(block.reduce((a, b) => (b > a ? b : a)));
    }
    for (
      let block = Math.floor(first / PEAK_SAMPLES);
      block < Math.min(stop / PEAK_SAMPLES, this.lows.length);
      block++
    ) {
      low = Math.min(low, this.lows[block]);
      high = Math.max(high, this.highs[block]);
    }
    return low <= high ? [low, high] : [0, 0];
  }
}

// A canvas with as many pixels as the screen shows of it.
export function fitted(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((length) =>
    Math.max(1, Math.round(length * devicePixelRatio)),
  );
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  return canvas;
}

// Round times in a stretch, about `most` of them.
export function roundTimes(from, to, most) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  const step = [0.1, 0.2, 0.5, ...steps].find((seconds) => (to - from) / seconds <= most) ?? 14400;
  const first = Math.ceil(from / step - 1e-9);
  const n = Math.max(0, Math.floor(to / step + 1e-9) - first + 1);
  return Array.from({ length: n }, (_, i) => Math.round((first + i) * step * 10) / 10);
}

// Seconds as people read them: 7.5 → 0:07.5, 3725 → 1:02:05.
export function clock(seconds, digits = 0) {
  const all = Math.round(seconds * 10 ** digits) / 10 ** digits;
  const [hours, minutes] = [Math.floor(all / 3600), Math.floor(all / 60) % 60];
  const rest = (all % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

const KILOHERTZ = [0.5, 1, 2, 4, 8, 16];

// The numbers beside a picture that ends at topHz, as text at their heights.
export function showKilohertz(place, topHz) {
  const shown = KILOHERTZ.filter((khz) => 1000 * khz < 0.95 * topHz);
  const ticks = shown.map((khz, i) => {
    const tick = Object.assign(document.createElement("span"), {
      textContent: i === shown.length - 1 ? `${khz} kHz` : khz,
    });
    tick.style.bottom = `${(100 * mel(1000 * khz)) / mel(topHz)}%`;
    return tick;
  });
  place.replaceChildren(...ticks);
}

export function axis(canvas, from, to) {
  const { width, height } = fitted(canvas);
  const drawn = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  drawn.clearRect(0, 0, width, height);
  drawn.fillStyle = style.color;
  drawn.font = `${parseFloat(style.fontSize) * devicePixelRatio}px ${style.fontFamily}`;
  drawn.textBaseline = "middle";
  const times = roundTimes(from, to, Math.max(2, canvas.clientWidth / 90));
  const digits = times.some((time) => time % 1) ? 1 : 0;
  for (const time of times) {
    const x = ((time - from) / (to - from)) * width;
    const text = clock(time, digits);
    const half = drawn.measureText(text).width / 2;
    drawn.textAlign = x < half ? "left" : x > width - half ? "right" : "center";
    drawn.fillText(text, Math.min(Math.max(x, 0), width), height / 2);
  }
}
