// The microphone, tagged as it comes.

import * as engine from "./engine.js";
import { openMicrophone } from "./microphone.js";

// Numbers that keep coming, in one array.
class Recording {
  constructor(Kind) {
    this.Kind = Kind;
    this.buffer = new Kind(1 << 16);
    this.n = 0;
  }

  push(block) {
    if (this.n + block.length > this.buffer.length) {
      const larger = new this.Kind(2 * Math.max(this.buffer.length, block.length));
      larger.set(this.all);
      this.buffer = larger;
    }
    this.buffer.set(block, this.n);
    this.n += block.length;
  }

  get all() {
    return this.buffer.subarray(0, this.n);
  }
}

// {heard, recorded(), sampleRate, close()}. `window` is told when `heard` has grown by one, `problem` of what goes
// wrong, `gone` when the microphone goes away by itself.
export async function openLive(t, { window, problem, gone }) {
  const heard = { starts: [], ends: [], scores: new Float64Array(0), clip: null, warnings: [] };
  const [sound, scores] = [new Recording(Float32Array), new Recording(Float64Array)];
  const live = { heard, recorded: () => sound.all, sampleRate: 0, close: null };
  let stream = null;
  const begin = (sampleRate) => {
    live.sampleRate = sampleRate;
    const told = ({ start, end, scores: row }) => {
      heard.starts.push(start);
      heard.ends.push(end);
      scores.push(row);
      heard.scores = scores.all;
      window();
    };
    stream = engine.stream(t, sampleRate, { window: told, problem });
    return (block) => {
      sound.push(block);
      stream.push(block);
    };
  };
  const microphone = await openMicrophone(begin, gone);
  live.close = async () => {
    await microphone.stop();
    await stream.close();
  };
  return live;
}
