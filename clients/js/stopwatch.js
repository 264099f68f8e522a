/**
 * How fast the speech came. Told what was sent and what came back; knows no clock but the one it is given.
 *
 * Time to first audio counts from the last letter of the first segment going out (the first text that could be spoken)
 * to the first audio coming in. Which text that was, only the server's first segment tells; until it is there, all text
 * sent so far counts.
 */
export class Stopwatch {
  speechMs = 0;
  #nowMs;
  /** @type {{atMs: number, chars: number}[]} when, and how many code points had been sent then */
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

  /** Text up to here has been spoken. @param {number} endChar */
  segment(endChar) {
    this.#firstTextAtMs ??= this.#sent.find(({ chars }) => chars >= endChar)?.atMs ?? null;
  }

  /** Null until there is audio. */
  get firstAudioMs() {
    const sentAtMs = this.#firstTextAtMs ?? this.#sent.at(-1)?.atMs;
    return this.#firstAudioAtMs === null || sentAtMs === undefined ? null : this.#firstAudioAtMs - sentAtMs;
  }
}
