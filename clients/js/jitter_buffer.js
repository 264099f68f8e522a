/** Decides when a stream has enough audio to start, also after an underrun. Takes the time as an argument. */

const MIN_MS = 40;
const MAX_MS = 300;
const INITIAL_MS = 80; // before any jitter was observed
const MARGIN_MS = 20;
const DECAY_MS = 10_000; // time constant: two thirds of a delay are forgotten after this

/** An estimate of the network jitter, shared by all streams of one output. */
export class JitterEstimate {
  #neededMs = INITIAL_MS;

  /** How much audio to buffer before playback starts. */
  get targetMs() {
    return Math.min(MAX_MS, Math.max(MIN_MS, this.#neededMs));
  }

  /** @param {number} lateMs behind real time @param {number} waitedMs since the previous samples */
  observe(lateMs, waitedMs) {
    const neededMs = lateMs + MARGIN_MS;
    const weight = neededMs > this.#neededMs ? 1 : 1 - Math.exp(-waitedMs / DECAY_MS);
    this.#neededMs = Math.min(MAX_MS, this.#neededMs + (neededMs - this.#neededMs) * weight);
  }
}

export class JitterBuffer {
  #estimate;
  /** When the oldest samples that are held back were received. @type {number | null} */
  #heldSinceMs = null;
  /** @type {number | null} */
  #arrivedAtMs = null;
  #newestDurationMs = 0;
  #lateMs = 0;

  constructor(estimate = new JitterEstimate()) {
    this.#estimate = estimate;
  }

  get targetMs() {
    return this.#estimate.targetMs;
  }

  /** Samples were received. @param {number} durationMs @param {number} nowMs */
  add(durationMs, nowMs) {
    if (this.#arrivedAtMs !== null) {
      const waitedMs = nowMs - this.#arrivedAtMs;
      // The underrun that a minimal buffer would have now. Early samples do not count: they only wait longer.
      this.#lateMs = Math.max(0, this.#lateMs + waitedMs - durationMs);
      this.#estimate.observe(this.#lateMs, waitedMs);
    }
    this.#arrivedAtMs = nowMs;
    this.#newestDurationMs = durationMs;
    this.#heldSinceMs ??= nowMs;
  }

  /** Ignore the time since the previous samples: the server had no reason to send. */
  skipInterval() {
    this.#arrivedAtMs = null;
    this.#lateMs = 0;
  }

  /** The stream ran dry: hold the next samples back again. */
  reset() {
    this.#heldSinceMs = null;
  }

  /** How much longer to hold the audio back. @param {number} leadMs of buffered audio @param {number} nowMs */
  waitMs(leadMs, nowMs) {
    if (this.#heldSinceMs === null || leadMs >= this.#newestDurationMs + this.targetMs) return 0;
    return Math.max(0, this.#heldSinceMs + this.targetMs - nowMs);
  }
}
