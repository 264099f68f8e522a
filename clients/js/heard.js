/** How much of a stream was heard, and whoever wants to know it. */

const TELL_EVERY_MS = 1000;

export class Heard {
  /** Told about once a second. @type {(playedMs: number) => void} */
  onPlayed = () => {};
  #track;
  #clock;
  /** @type {'going' | 'stopped' | 'finished'} */
  #state = 'going';
  #ms = 0;
  #toldMs = 0;

  /** @param {import('./track.js').Track} track @param {import('./player.js').Clock} clock */
  constructor(track, clock) {
    this.#track = track;
    this.#clock = clock;
  }

  /** Never less than before. */
  get ms() {
    if (this.#state === 'finished') return this.#track.endMs;
    // What was handed to the device before a stop is heard: there is no way to get it back.
    const atMs = this.#state === 'stopped' ? this.#clock.sentMs : this.#clock.heardMs;
    this.#ms = Math.max(this.#ms, this.#track.at(atMs));
    return this.#ms;
  }

  /** @param {'stopped' | 'finished'} state */
  end(state) {
    this.#state = state;
    this.tell();
  }

  /** If it is time. */
  tellInTime() {
    if (this.ms >= Math.max(this.#toldMs, this.#track.startMs) + TELL_EVERY_MS) this.tell();
  }

  tell() {
    const { ms } = this;
    if (ms <= Math.max(this.#toldMs, this.#track.startMs)) return;
    this.#toldMs = ms;
    this.onPlayed(ms);
  }
}
