/** Plays what was recorded or chosen, so that it can be judged before it is sent. */

export class PromptPlayer {
  /** @type {AudioContext | null} */ #context = null;
  /** @type {AudioBufferSourceNode | null} */ #source = null;

  get playing() {
    return this.#source !== null;
  }

  /** In the handler of a click. Fulfilled when it is over, or stopped. @param {AudioBuffer} buffer */
  async play(buffer) {
    this.#context ??= new AudioContext();
    await this.#context.resume();
    this.stop();
    const source = (this.#source = this.#context.createBufferSource());
    source.buffer = buffer;
    source.connect(this.#context.destination);
    source.start();
    await new Promise((over) => (source.onended = over));
    if (this.#source === source) this.#source = null;
  }

  stop() {
    this.#source?.stop();
    this.#source = null;
  }
}
