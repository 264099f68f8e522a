/** Plays one thing at a time: whatever is playing stops before the next one starts. */

/**
 * Something that can be played.
 * @typedef {object} Playable
 * @property {string} phase
 * @property {boolean} isOver
 * @property {() => Promise<any>} stop silences the output immediately
 * @property {() => void} [pause]
 * @property {() => void} [resume]
 */

export class ExclusivePlayback {
  /** What is playing now. @type {Playable | null} */
  current = null;
  /** Called when playback starts or ends. */
  onChange = () => {};
  #requests = 0;

  /**
   * Stop what is playing and start something else. Resolves when that has finished, or was replaced.
   * @param {Promise<any>} opening the audio output that is being opened
   * @param {(output: any) => {playable: Playable, finished: Promise<void>}} begin
   * @returns {Promise<Playable | null>} null if a later call replaced this one
   */
  async start(opening, begin) {
    const request = ++this.#requests;
    try {
      this.stop().catch(() => {}); // audio stops at once; the server's answer to the cancel may take longer
      const output = await opening;
      if (request !== this.#requests) return null;
      const { playable, finished } = begin(output);
      this.current = playable;
      this.onChange();
      await finished;
      return request === this.#requests ? playable : null;
    } finally {
      if (request === this.#requests) {
        this.current = null;
        this.onChange();
      }
    }
  }

  /** Stop what is playing. Resolves with the result of its `stop`, or null if nothing was playing. */
  async stop() {
    if (!this.current || this.current.isOver) return null;
    return this.current.stop();
  }
}
