// WAV files, read here and not by the browser: samples at the file's own rate, bit for bit, in blocks of constant
// memory.

import { Problem } from "./problems.js";

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
const UNSAID = 0xffff0000; // a size from here on: who wrote could not go back
const BLOCK_FRAMES = 1 << 16;

const view = async (blob, first, stop) => new DataView(await blob.slice(first, stop).arrayBuffer());
const word = (data, at) => String.fromCharCode(...[0, 1, 2, 3].map((i) => data.getUint8(at + i)));

// What a WAV file's header says; null of anything but uncompressed sound, which is left to the browser.
export async function wavHeader(blob) {
  const start = await view(blob, 0, 12);
  if (start.byteLength < 12 || !["RIFF", "RF64"].includes(word(start, 0)) || word(start, 8) !== "WAVE") return null;
  let format = null;
  let wide = null; // the size that 32 bits cannot hold
  for (let at = 12; at + 8 <= blob.size;) {
    const chunk = await view(blob, at, at + 48);
    const name = word(chunk, 0);
    const size = chunk.getUint32(4, true);
    if (name === "ds64") wide = Number(chunk.getBigUint64(16, true));
    if (name === "fmt ") format = formatOf(chunk, size);
    if (name === "data") {
      const there = blob.size - at - 8;
      const said = size === 0xffffffff && wide !== null ? wide : size >= UNSAID || size === 0 ? there : size;
      return format && { ...format, first: at + 8, stop: at + 8 + Math.min(said, there), isCut: said > there };
    }
    at += 8 + size + (size % 2);
  }
  return null;
}

function formatOf(chunk, size) {
  const code = chunk.getUint16(8, true);
  const kind = code === EXTENSIBLE && size >= 40 ? chunk.getUint16(32, true) : code;
  const [channels, sampleRate] = [chunk.getUint16(10, true), chunk.getUint32(12, true)];
  const [frameBytes, bits] = [chunk.getUint16(20, true), chunk.getUint16(22, true)];
  const known = { [PCM]: [8, 16, 24, 32], [FLOAT]: [32, 64] }[kind] ?? [];
  const isWhole = known.includes(bits) && channels && sampleRate && frameBytes === (channels * bits) / 8;
  return isWhole ? { kind, channels, sampleRate, frameBytes, bits } : null;
}

// How one sample is read: full scale is ±1.
function reader(kind, bits) {
  if (kind === FLOAT)
    return bits === 32 ? (data, at) => data.getFloat32(at, true) : (data, at) => data.getFloat64(at, true);
  return {
    8: (data, at) => (data.getUint8(at) - 128) / 128,
    16: (data, at) => data.getInt16(at, true) / 32768,
    24: (data, at) => (data.getInt8(at + 2) * 65536 + data.getUint16(at, true)) / 8388608,
    32: (data, at) => data.getInt32(at, true) / 2147483648,
  }[bits];
}

// The sound with its channels averaged, Float32Arrays in order.
export async function* wavBlocks(blob, { kind, bits, channels, frameBytes, first, stop }) {
  const read = reader(kind, bits);
  const nFrames = Math.floor((stop - first) / frameBytes);
  for (let from = 0; from < nFrames; from += BLOCK_FRAMES) {
    const to = Math.min(from + BLOCK_FRAMES, nFrames);
    const data = await view(blob, first + from * frameBytes, first + to * frameBytes);
    const block = new Float32Array(to - from);
    for (let frame = 0; frame < block.length; frame++) {
      let sum = 0;
      for (let channel = 0; channel < channels; channel++) sum += read(data, frame * frameBytes + (channel * bits) / 8);
      block[frame] = sum / channels;
      if (!Number.isFinite(sum))
        throw new Problem("unreadable", "The file holds values that are no numbers. Write it again.");
    }
    yield block;
  }
}

// All of it: {samples, sampleRate}.
export async function readWav(blob) {
  const header = await wavHeader(blob);
  const blocks = [];
  for await (const block of wavBlocks(blob, header)) blocks.push(block);
  return { samples: joined(blocks), sampleRate: header.sampleRate };
}

export function joined(blocks) {
  const all = new Float32Array(blocks.reduce((n, block) => n + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    all.set(block, at);
    at += block.length;
  }
  return all;
}

// A mono sound as a 16-bit WAV file; what is louder than full scale is cut.
export function writeWav(samples, sampleRate) {
  const data = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const put = (at, text) => [...text].forEach((letter, i) => data.setUint8(at + i, letter.charCodeAt(0)));
  put(0, "RIFF");
  data.setUint32(4, 36 + 2 * samples.length, true);
  put(8, "WAVEfmt ");
  data.setUint32(16, 16, true);
  data.setUint16(20, PCM, true);
  data.setUint16(22, 1, true);
  data.setUint32(24, sampleRate, true);
  data.setUint32(28, 2 * sampleRate, true);
  data.setUint16(32, 2, true);
  data.setUint16(34, 16, true);
  put(36, "data");
  data.setUint32(40, 2 * samples.length, true);
  samples.forEach((x, i) => data.setInt16(44 + 2 * i, Math.round(Math.min(Math.max(x * 32768, -32768), 32767)), true));
  return new Blob([data], { type: "audio/wav" });
}
