// Passes on what the microphone hears, in blocks of about a twentieth of a second.

const BLOCK_SAMPLES = 2048;

class Tap extends AudioWorkletProcessor {
  block = new Float32Array(BLOCK_SAMPLES);
  filled = 0;

  process([[channel]]) {
    if (!channel) return true; // nothing is connected yet
    for (const sample of channel) {
      this.block[this.filled++] = sample;
      if (this.filled < BLOCK_SAMPLES) continue;
      this.port.postMessage(this.block, [this.block.buffer]);
      this.block = new Float32Array(BLOCK_SAMPLES);
      this.filled = 0;
    }
    return true;
  }
}

registerProcessor("tap", Tap);
