/** Tracks how much of a stream has been played, and reports it about once a second. */

const REPORT_INTERVAL_MS = 1000;

export class PlayedPosition {
  /** Called about once a second, and at the end. @type {(playedMs: number) => void} */
  onPlayed = () => {};
  #track;
  #clock;
  /** @type {'going' | 'stopped' | 'finished'} */
  #state = 'going';
  #ms = 0;
  #reportedMs = 0;

  /** @param {import('./track.js').Track} track @param {import('./player.js').Clock} clock */
  constructor(track, clock) {
    this.#track = track;
    this.#clock = clock;
  }

  /** The position in the stream. It never decreases. */
  get ms() {
    if (this.#state === 'finished') return this.#track.endMs;
    // Samples handed to the device before a stop are still played: they cannot be taken back.
    const atMs = this.#state === 'stopped' ? this.#clock.deviceMs : this.#clock.audibleMs;
    this.#ms = Math.max(this.#ms, this.#track.positionAt(atMs));
    return this.#ms;
  }

  /** @param {'stopped' | 'finished'} state */
  end(state) {
    this.#state = state;
    this.report();
  }

  /** Report if the last report is a second ago. */
  reportIfDue() {
    if (this.ms >= Math.max(this.#reportedMs, this.#track.startMs) + REPORT_INTERVAL_MS) this.report();
  }

  report() {
    const { ms } = this;
    if (ms <= Math.max(this.#reportedMs, this.#track.startMs)) return;
    this.#reportedMs = ms;
    this.onPlayed(ms);
  }
}
