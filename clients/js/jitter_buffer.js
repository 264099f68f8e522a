/** When a stream may begin to be heard, and may again after it ran dry. Told when samples come; has no clock. */

const MIN_MS = 40;
const MAX_MS = 300;
const FIRST_MS = 80; // while nothing is known of the way here
const MARGIN_MS = 20;
const FORGET_MS = 10_000; // until two thirds of a delay are forgotten

/** What the streams of one output learned of how unevenly samples come. */
export class Jitter {
  #neededMs = FIRST_MS;

  /** How late the next samples may be, once there is something to hear. */
  get targetMs() {
    return Math.min(MAX_MS, Math.max(MIN_MS, this.#neededMs));
  }

  /** @param {number} lateMs behind the pace of what is heard @param {number} waitedMs since the last samples came */
  tell(lateMs, waitedMs) {
    const neededMs = lateMs + MARGIN_MS;
    const forgotten = neededMs > this.#neededMs ? 1 : 1 - Math.exp(-waitedMs / FORGET_MS);
    this.#neededMs = Math.min(MAX_MS, this.#neededMs + (neededMs - this.#neededMs) * forgotten);
  }
}

export class JitterBuffer {
  #jitter;
  /** When the first of those came that are held back. @type {number | null} */
  #heldSinceMs = null;
  /** @type {number | null} */
  #cameAtMs = null;
  #newestMs = 0; // how long the newest samples last
  #lateMs = 0;

  constructor(jitter = new Jitter()) {
    this.#jitter = jitter;
  }

  get targetMs() {
    return this.#jitter.targetMs;
  }

  /** Samples came. @param {number} durationMs @param {number} nowMs */
  add(durationMs, nowMs) {
    if (this.#cameAtMs !== null) {
      const waitedMs = nowMs - this.#cameAtMs;
      // What would be missing now where there was just enough. Nothing is ever early: it only lies there longer.
      this.#lateMs = Math.max(0, this.#lateMs + waitedMs - durationMs);
      this.#jitter.tell(this.#lateMs, waitedMs);
    }
    this.#cameAtMs = nowMs;
    this.#newestMs = durationMs;
    this.#heldSinceMs ??= nowMs;
  }

  /** Nobody was to send anything until now: how long it took says nothing of the way. */
  excuse() {
    this.#cameAtMs = null;
    this.#lateMs = 0;
  }

  /** It ran dry. */
  refill() {
    this.#heldSinceMs = null;
  }

  /** How long what is here has to be held back still. @param {number} leadMs of what is here @param {number} nowMs */
  waitMs(leadMs, nowMs) {
    if (this.#heldSinceMs === null || leadMs >= this.#newestMs + this.targetMs) return 0;
    return Math.max(0, this.#heldSinceMs + this.targetMs - nowMs);
  }
}
