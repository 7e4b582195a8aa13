// Sample-rate conversion of a mono signal that arrives in pieces: a windowed sinc, as steep as soxr's HQ (flat to 0.91
// of the lower rate's half, 100 dB down at that half). The result does not depend on where the signal was cut.

const PASSED = 0.913; // share of the band that stays as it is
const ATTENUATION_DB = 100;
const BETA = 0.1102 * (ATTENUATION_DB - 8.7); // of the Kaiser window. Source: Kaiser 1974

const divisor = (a, b) => (b ? divisor(b, a % b) : a);

function bessel(x) {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-12 * sum; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

export class Resampler {
  constructor(rateIn, rateOut) {
    const common = divisor(rateIn, rateOut);
    this.up = rateOut / common; // output sample m lies at m · down / up of the input
    this.down = rateIn / common;
    const band = Math.min(1, rateOut / rateIn) / 2; // of the lower rate, in cycles per input sample
    const transition = band * (1 - PASSED);
    this.cutoff = band - transition / 2;
    // Input samples to either side of an output.
    this.half = Math.ceil((ATTENUATION_DB - 8) / (2.285 * 2 * Math.PI * transition) / 2);
    this.phases = new Map();
    this.held = new Float32Array(this.half); // silence before the sound
    this.heldStart = -this.half;
    this.next = 0; // the next output sample
  }

  // The samples that are ready.
  push(block) {
    if (this.up === this.down) return block;
    const held = new Float32Array(this.held.length + block.length);
    held.set(this.held);
    held.set(block, this.held.length);
    this.held = held;
    return this.ready(this.heldStart + held.length - this.half);
  }

  // What is left, up to the end of the sound.
  close() {
    if (this.up === this.down) return new Float32Array(0);
    const n = this.heldStart + this.held.length;
    const tail = this.push(new Float32Array(this.half + 1));
    const missing = Math.floor((n * this.up) / this.down + 0.5) - this.next;
    return missing < 0 ? tail.subarray(0, tail.length + missing) : tail;
  }

  // Outputs whose middle lies before an input sample.
  ready(stop) {
    const n = Math.max(0, Math.ceil((stop * this.up) / this.down) - this.next);
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      const at = (this.next + i) * this.down;
      const middle = Math.floor(at / this.up);
      const taps = this.phase(at % this.up);
      const first = middle - this.half + 1 - this.heldStart;
      let sum = 0;
      for (let k = 0; k < taps.length; k++) sum += taps[k] * this.held[first + k];
      out[i] = sum;
    }
    this.next += n;
    const drop = Math.floor((this.next * this.down) / this.up) - this.half - this.heldStart;
    if (drop > 0) {
      this.held = this.held.slice(drop);
      this.heldStart += drop;
    }
    return out;
  }

  // The weights of the input samples around an output that lies phase / up behind one.
  phase(phase) {
    if (this.phases.has(phase)) return this.phases.get(phase);
    const taps = Float64Array.from({ length: 2 * this.half }, (_, k) => {
      const x = k - this.half + 1 - phase / this.up; // distance in input samples
      const sinc = x === 0 ? 1 : Math.sin(2 * Math.PI * this.cutoff * x) / (2 * Math.PI * this.cutoff * x);
      const inside = 1 - (x / this.half) ** 2;
      return inside <= 0 ? 0 : (2 * this.cutoff * sinc * bessel(BETA * Math.sqrt(inside))) / bessel(BETA);
    });
    const sum = taps.reduce((a, b) => a + b, 0); // a constant stays what it is
    this.phases.set(
      phase,
      taps.map((tap) => tap / sum),
    );
    return this.phases.get(phase);
  }
}
