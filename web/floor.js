/** Who is heard: one thing at a time. What is heard now stops before the next begins. Knows no page. */

/**
 * Something that can be heard.
 * @typedef {object} Act
 * @property {string} phase
 * @property {boolean} isOver
 * @property {() => Promise<any>} stop silence, now
 * @property {() => void} [pause]
 * @property {() => void} [resume]
 */

export class Floor {
  /** @type {Act | null} */
  act = null;
  /** Somebody begins or ends. */
  onChange = () => {};
  #turns = 0;

  /**
   * Until it is heard, or another wanted the floor.
   * @param {Promise<any>} opening of the sound
   * @param {(output: any) => {act: Act, heard: Promise<void>}} begin
   * @returns {Promise<Act | null>} null: somebody else was quicker
   */
  async take(opening, begin) {
    const turn = ++this.#turns;
    try {
      this.stop().catch(() => {}); // silent at once; what it has to say about it may take its time
      const output = await opening;
      if (turn !== this.#turns) return null;
      const { act, heard } = begin(output);
      this.act = act;
      this.onChange();
      await heard;
      return turn === this.#turns ? act : null;
    } finally {
      if (turn === this.#turns) {
        this.act = null;
        this.onChange();
      }
    }
  }

  /** What the one that was heard has to say about it, or null. */
  async stop() {
    if (!this.act || this.act.isOver) return null;
    return this.act.stop();
  }
}
