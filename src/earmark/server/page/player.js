// The sound to be heard, whole or a stretch of it, and where it is.

export class Player {
  // moved(seconds, isPlaying) is told of every step.
  constructor(moved) {
    this.audio = new Audio();
    this.audio.preload = "auto";
    this.stop = Infinity;
    this.moved = moved;
    const step = () => {
      if (this.audio.currentTime >= this.stop) this.audio.pause();
      moved(this.audio.currentTime, !this.audio.paused);
      if (!this.audio.paused) requestAnimationFrame(step);
    };
    for (const kind of ["play", "pause", "seeked", "ended"]) this.audio.addEventListener(kind, step);
  }

  // Take a file or blob; whether the browser can play it.
  async open(blob) {
    this.close();
    this.audio.src = URL.createObjectURL(blob);
    return new Promise((resolve) => {
      this.audio.addEventListener("loadedmetadata", () => resolve(true), { once: true });
      this.audio.addEventListener("error", () => resolve(false), { once: true });
    });
  }

  close() {
    this.audio.pause();
    if (this.audio.src) URL.revokeObjectURL(this.audio.src);
    this.audio.removeAttribute("src");
  }

  get isPlaying() {
    return !this.audio.paused;
  }

  get seconds() {
    return this.audio.currentTime;
  }

  play(from = this.audio.currentTime, to = Infinity) {
    if (from >= this.audio.duration - 0.01) from = 0;
    this.audio.currentTime = from;
    this.stop = to;
    return this.audio.play();
  }

  pause() {
    this.audio.pause();
  }

  seek(seconds) {
    this.stop = Infinity;
    this.audio.currentTime = Math.min(Math.max(seconds, 0), this.audio.duration || 0);
  }
}
