// A file to a mono waveform at the rate that is asked for. WAV is read here; what else there is, the browser decodes,
// at the file's own rate where that can be seen. The rate is then converted in one way for all.

import { Problem } from "./problems.js";
import { Resampler } from "./resample.js";
import { joined, wavBlocks, wavHeader } from "./wav.js";

export const LONGEST_SECONDS = 7200; // of what the browser can hold decoded: 0.9 GB at 32 kHz
const HEAD_BYTES = 1 << 17;
const OPUS_RATES = [8000, 12000, 16000, 24000, 48000]; // that libsndfile decodes Opus at
const ROUNDING_SECONDS = 0.01; // by which a length at another rate may be off
const RATES = [3000, 768000]; // that an OfflineAudioContext takes

// {samples, sampleRate, fileRate}: fileRate is the file's own in Hz, null where it is not known.
export async function decode(file, sampleRate, { signal, progress = () => {} } = {}) {
  if (!file.size) throw new Problem("not_a_sound", "The file is empty.");
  const header = await wavHeader(file);
  if (header)
    return {
      samples: await wave(file, header, sampleRate, { signal, progress }),
      sampleRate,
      fileRate: header.sampleRate,
    };
  const head = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  const rates = encodedRates(head);
  const rate = Math.min(Math.max(rates[0] ?? sampleRate, RATES[0]), RATES[1]);
  const buffer = await decoded(await file.arrayBuffer(), rate);
  signal?.throwIfAborted();
  checkLength(buffer.duration);
  if (buffer.duration < flacSeconds(head) - ROUNDING_SECONDS) throw cutOff(buffer.duration);
  let samples = mono(buffer);
  for (const [i, wanted] of [...rates.slice(1), sampleRate].entries())
    samples = converted(samples, rates[i] ?? rate, wanted);
  if (!samples.length) throw new Problem("not_a_sound", "The file holds no sound.");
  return { samples, sampleRate, fileRate: rates.at(-1) ?? null };
}

async function wave(file, header, sampleRate, { signal, progress }) {
  const bytes = header.stop - header.first;
  const seconds = bytes / header.frameBytes / header.sampleRate;
  if (header.isCut) throw cutOff(seconds);
  if (bytes < header.frameBytes) throw new Problem("not_a_sound", "The file holds no sound.");
  checkLength(seconds);
  const resampler = new Resampler(header.sampleRate, sampleRate);
  const blocks = [];
  let done = 0;
  for await (const block of wavBlocks(file, header)) {
    signal?.throwIfAborted();
    blocks.push(resampler.push(block));
    progress((done += block.length) / header.sampleRate / seconds);
  }
  return joined([...blocks, resampler.close()]);
}

function cutOff(seconds) {
  return new Problem(
    "cut_off",
    `The file stops at ${seconds.toFixed(2)} s, before its end: it is cut off. Fetch it again.`,
  );
}

function checkLength(seconds) {
  if (seconds > LONGEST_SECONDS)
    throw new Problem(
      "too_long",
      `The sound is ${(seconds / 60).toFixed(0)} minutes long, and a browser can hold ${LONGEST_SECONDS / 60}. ` +
        "Cut it, or take “earmark tag --timeline”, which hears recordings of any length.",
    );
}

async function decoded(bytes, rate) {
  try {
    return await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  } catch (error) {
    if (error.name === "RangeError")
      throw new Problem("too_long", "The sound is too long for this browser's memory. Cut it.");
    if (error.name !== "EncodingError") throw error;
    throw new Problem(
      "not_a_sound",
      "This browser cannot read the file: it is damaged, no sound, or of a format it does not know.",
    );
  }
}

function mono(buffer) {
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, channel) => buffer.getChannelData(channel));
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
}

function converted(samples, rate, wanted) {
  if (rate === wanted) return samples;
  const resampler = new Resampler(rate, wanted);
  return joined([resampler.push(samples), resampler.close()]);
}

// The rates in Hz that the head of a FLAC, Ogg or MP3 file gives: that of the decoder, and of the sound if it differs;
// none if unsaid.
export function encodedRates(head) {
  const data = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const word = (at, text) => [...text].every((letter, i) => head[at + i] === letter.charCodeAt(0));
  const rateBehind = (text) => {
    const at = head.subarray(0, 512).findIndex((_, at) => word(at, text));
    return at >= 0 && at + 16 <= head.length ? data.getUint32(at + 12, true) : null;
  };
  if (word(0, "OggS")) {
    const opus = rateBehind("OpusHead"); // of the sound before it was encoded
    if (opus !== null) return [...new Set([48000, OPUS_RATES.find((rate) => opus && rate >= opus) ?? 48000])];
    return [rateBehind("\x01vorbis")].filter(Boolean);
  }
  const first = tagBytes(head);
  if (word(first, "fLaC") && first + 22 <= head.length) return [data.getUint32(first + 18) >>> 12].filter(Boolean);
  if (first + 4 > head.length || head[first] !== 0xff || (head[first + 1] & 0xe6) !== 0xe2) return [];
  const version = (head[first + 1] >> 3) & 3; // 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
  const rate = [44100, 48000, 32000][(head[first + 2] >> 2) & 3];
  return version === 1 || !rate ? [] : [rate / { 3: 1, 2: 2, 0: 4 }[version]];
}

// How long a FLAC file says that it is; 0 if it is none, or does not say. Browsers decode what is left of a cut one.
function flacSeconds(head) {
  const data = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const first = tagBytes(head);
  if (first + 26 > head.length || data.getUint32(first) !== 0x664c6143) return 0; // "fLaC"
  const rate = data.getUint32(first + 18) >>> 12;
  return rate ? ((head[first + 21] & 15) * 2 ** 32 + data.getUint32(first + 22)) / rate : 0;
}

// A tag may stand before the sound; its length is in four bytes of seven bits.
function tagBytes(head) {
  const there = head.length >= 10 && head[0] === 0x49 && head[1] === 0x44 && head[2] === 0x33; // "ID3"
  return there ? 10 + [6, 7, 8, 9].reduce((size, at) => size * 128 + head[at], 0) : 0;
}
