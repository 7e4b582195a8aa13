// The stretch of time that is shown, in seconds.

const SHORTEST_SECONDS = 2;

export class View {
  // changed() is called when it is another.
  constructor(changed) {
    Object.assign(this, { changed, from: 0, to: 1, seconds: 1 });
  }

  // seconds: of the whole sound.
  show(from, to, seconds) {
    Object.assign(this, { from, to, seconds });
    this.changed();
  }

  look(from, span = this.span) {
    const length = Math.min(Math.max(span, SHORTEST_SECONDS), this.seconds);
    const first = Math.min(Math.max(from, 0), this.seconds - length);
    this.show(first, first + length, this.seconds);
  }

  pan(share) {
    this.look(this.from + share * this.span);
  }

  // at: what stays where it is, if it is shown; else the middle does.
  zoom(factor, at) {
    const still = this.shows(at) ? at : (this.from + this.to) / 2;
    this.look(still - factor * (still - this.from), factor * this.span);
  }

  get span() {
    return this.to - this.from;
  }

  shows(seconds) {
    return seconds >= this.from && seconds <= this.to;
  }

  // Where in the picture a time lies, in [0, 1]; and back.
  share(seconds) {
    return (seconds - this.from) / this.span;
  }

  at(share) {
    return this.from + share * this.span;
  }
}
