// What goes wrong and is not a bug: a reason of a fixed set, as the server's errors have, and a sentence for people.

export class Problem extends Error {
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}
