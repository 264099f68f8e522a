/** Plays a recording again from a given position. */

export class Replay {
  /** @type {'speaking' | 'paused' | 'done' | 'stopped'} */
  phase = 'speaking';
  #player;

  /**
   * @param {import('../../clients/js/output.js').AudioOutput} output
   * @param {import('./recording.js').Recording} recording
   * @param {number} fromMs
   */
  constructor(output, recording, fromMs) {
    this.#player = output.player();
    this.#player.play({ samples: recording.from(fromMs), start_ms: fromMs });
    this.#player.end();
  }

  get playedMs() {
    return this.#player.playedMs;
  }

  get isOver() {
    return this.phase === 'done' || this.phase === 'stopped';
  }

  async run() {
    await this.#player.finished;
    if (!this.isOver) this.phase = 'done';
  }

  pause() {
    this.phase = 'paused';
    this.#player.pause();
  }

  resume() {
    this.phase = 'speaking';
    this.#player.resume();
  }

  async stop() {
    this.phase = 'stopped';
    this.#player.stop();
  }
}
