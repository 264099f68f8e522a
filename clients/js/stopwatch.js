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
  /** @type {{atMs: number, letters: number}[]} when, and how many letters had been sent then */
  #sent = [];
  #letters = 0;
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
    this.#letters += countLetters(text);
    if (this.#firstAudioAtMs === null) this.#sent.push({ atMs: this.#nowMs(), letters: this.#letters });
  }

  /** @param {number} durationMs */
  heard(durationMs) {
    this.#firstAudioAtMs ??= this.#nowMs();
    this.speechMs += durationMs;
  }

  /** @param {string} text */
  segment(text) {
    const wanted = countLetters(text);
    this.#firstTextAtMs ??= this.#sent.find(({ letters }) => letters >= wanted)?.atMs ?? null;
  }

  /** Null until there is audio. */
  get firstAudioMs() {
    const sentAtMs = this.#firstTextAtMs ?? this.#sent.at(-1)?.atMs;
    return this.#firstAudioAtMs === null || sentAtMs === undefined ? null : this.#firstAudioAtMs - sentAtMs;
  }
}

/**
 * Letters and digits: spaces, dots and marks are the server's to add and to leave out.
 * @param {string} text
 */
export function countLetters(text) {
  return text.match(/[\p{L}\p{N}]/gu)?.length ?? 0;
}
