/** The button that records, the level of the microphone and the time. Gives what was recorded as a `Prompt`. */

import { Recorder } from './recorder.js';
import { levelDb, MAX_S, Prompt } from './voice_prompt.js';

const State = Object.freeze({ IDLE: 'idle', ASKING: 'asking', RECORDING: 'recording' });
/** @type {Record<string, string[]>} */
const MOVES = {
  [State.IDLE]: [State.ASKING],
  [State.ASKING]: [State.RECORDING, State.IDLE],
  [State.RECORDING]: [State.IDLE],
};
/** @type {Record<string, string>} */
const LABELS = { [State.IDLE]: 'Record', [State.ASKING]: 'Waiting…', [State.RECORDING]: 'Stop' };
const FLOOR_DB = -60; // the left end of the level
const MUTED_DB = -55;
const MUTED_AFTER_S = 2;
const SPEAK = 'Recording. Speak as you would to a friend…';
const MUTED = 'Recording, but nothing is heard. Is the microphone muted?';

export class RecorderPanel {
  #ui;
  #on;
  /** @type {string} */ #state = State.IDLE;
  /** While it records, and after. @type {any} */ #recorder = null;
  #samples = new Float32Array();
  #filled = 0;
  #loudestDb = -Infinity;

  /**
   * @param {{record: HTMLButtonElement, level: HTMLElement, time: HTMLElement}} ui
   * @param {{begin: () => void, prompt: (prompt: Prompt) => void, tell: (message: string, fault?: boolean) => void}} on
   *   `begin`: what was recorded before is no longer wanted
   */
  constructor(ui, on) {
    this.#ui = ui;
    this.#on = on;
    ui.record.addEventListener('click', () => (this.#state === State.IDLE ? this.#begin() : this.stop()));
    this.showSeconds(0);
  }

  /** What has been recorded is given out. @returns {boolean} whether anything was */
  stop() {
    if (this.#state === State.ASKING) this.#move(State.IDLE);
    if (this.#state !== State.RECORDING) return false;
    this.#move(State.IDLE);
    this.#recorder.close();
    this.#showLevel(-Infinity);
    this.#on.prompt(Prompt.recorded(this.#samples.subarray(0, this.#filled), this.#recorder.rateHz));
    return true;
  }

  /** @param {number | null} seconds null where nobody knows */
  showSeconds(seconds) {
    const whole = Math.floor(seconds ?? 0);
    const clock = `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
    const shown = seconds === null ? '–:––' : clock;
    if (this.#ui.time.textContent !== shown) this.#ui.time.textContent = shown;
  }

  async #begin() {
    this.#move(State.ASKING);
    this.#on.tell('Say yes where the browser asks for the microphone…');
    let recorder;
    try {
      recorder = await Recorder.open({ onSamples: (samples) => this.#take(samples), onLost: () => this.stop() });
    } catch (/** @type {any} */ error) {
      if (this.#state === State.ASKING) this.#move(State.IDLE);
      this.#on.tell(error.message, true);
      return;
    }
    if (this.#state === State.ASKING) this.#record(recorder);
    else recorder.close(); // nobody wants it any more
  }

  /** @param {Recorder} recorder */
  #record(recorder) {
    this.#recorder = recorder;
    this.#samples = new Float32Array(MAX_S * recorder.rateHz);
    this.#filled = 0;
    this.#loudestDb = -Infinity;
    this.#on.begin();
    this.#move(State.RECORDING);
    this.#on.tell(SPEAK);
  }

  /** @param {Float32Array} samples */
  #take(samples) {
    if (this.#state !== State.RECORDING) return;
    const taken = samples.subarray(0, this.#samples.length - this.#filled);
    this.#samples.set(taken, this.#filled);
    this.#filled += taken.length;
    const seconds = this.#filled / this.#recorder.rateHz;
    const db = levelDb(samples);
    this.#loudestDb = Math.max(this.#loudestDb, db);
    this.#showLevel(db);
    this.showSeconds(seconds);
    if (seconds >= MUTED_AFTER_S) this.#on.tell(this.#loudestDb < MUTED_DB ? MUTED : SPEAK);
    if (this.#filled === this.#samples.length) this.stop();
  }

  /** @param {number} db */
  #showLevel(db) {
    const share = Math.min(1, Math.max(0, 1 - db / FLOOR_DB));
    this.#ui.level.style.setProperty('--level', share.toFixed(3));
    this.#ui.level.setAttribute('aria-valuenow', String(Math.round(share * 100)));
  }

  /** @param {string} state */
  #move(state) {
    if (!MOVES[this.#state].includes(state)) throw new Error(`a recorder that is ${this.#state} cannot be ${state}`);
    this.#state = state;
    const { record } = this.#ui;
    /** @type {HTMLElement} */ (record.querySelector('span')).textContent = LABELS[state];
    record.classList.toggle('recording', state === State.RECORDING);
  }
}
