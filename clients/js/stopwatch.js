/**
 * Measures the time to first audio: from sending the last character of the first segment (the first text that can be
 * spoken) to receiving the first audio. Only the server's first `segment` event tells which text that was; until then,
 * all text sent so far counts.
 */
export class Stopwatch {
  speechMs = 0;
  #nowMs;
  /** @type {{atMs: number, chars: number}[]} code points sent up to each time */
  #sent = [];
  #chars = 0;
  /** @type {number | null} */
  #firstAudioAtMs = null;
  /** @type {number | null} */
  #firstTextAtMs = null;

  /** @param {() => number} nowMs */
  constructor(nowMs = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** @param {string} text */
  sent(text) {
    this.#chars += [...text].length;
    if (this.#firstAudioAtMs === null) this.#sent.push({ atMs: this.#nowMs(), chars: this.#chars });
  }

  /** @param {number} durationMs */
  heard(durationMs) {
    this.#firstAudioAtMs ??= this.#nowMs();
    this.speechMs += durationMs;
  }

  /** A segment that ends at this character has been spoken. @param {number} endChar */
  segment(endChar) {
    this.#firstTextAtMs ??= this.#sent.find(({ chars }) => chars >= endChar)?.atMs ?? null;
  }

  /** Null until audio was received. */
  get firstAudioMs() {
    const sentAtMs = this.#firstTextAtMs ?? this.#sent.at(-1)?.atMs;
    return this.#firstAudioAtMs === null || sentAtMs === undefined ? null : this.#firstAudioAtMs - sentAtMs;
  }
}
