/** The Record button with the level meter and the time. Reports what was recorded as a `Prompt`. */

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
const METER_MIN_DB = -60;
const MUTED_DB = -55;
const MUTED_AFTER_S = 2;
const RECORDING = 'Recording. Speak as you would to a friend…';
const MUTED = 'Recording, but there is no sound. Is the microphone muted?';

export class RecorderPanel {
  #ui;
  #on;
  /** @type {string} */ #state = State.IDLE;
  /** Set once a recording has started. @type {any} */ #recorder = null;
  #samples = new Float32Array();
  #filled = 0;
  #loudestDb = -Infinity;

  /**
   * @param {{record: HTMLButtonElement, level: HTMLElement, time: HTMLElement}} ui
   * @param {{start: () => void, prompt: (prompt: Prompt) => void,
   *   showMessage: (message: string, isError?: boolean) => void}} on
   *   `start`: a new recording replaces the previous one
   */
  constructor(ui, on) {
    this.#ui = ui;
    this.#on = on;
    ui.record.addEventListener('click', () => (this.#state === State.IDLE ? this.#ask() : this.stop()));
    this.showSeconds(0);
  }

  /** Stop and report the recording. @returns {boolean} whether it was recording */
  stop() {
    if (this.#state === State.ASKING) this.#move(State.IDLE);
    if (this.#state !== State.RECORDING) return false;
    this.#move(State.IDLE);
    this.#recorder.close();
    this.#showLevel(-Infinity);
    this.#on.prompt(Prompt.recorded(this.#samples.subarray(0, this.#filled), this.#recorder.rateHz));
    return true;
  }

  /** @param {number | null} seconds null if unknown */
  showSeconds(seconds) {
    const whole = Math.floor(seconds ?? 0);
    const clock = `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
    const text = seconds === null ? '–:––' : clock;
    if (this.#ui.time.textContent !== text) this.#ui.time.textContent = text;
  }

  async #ask() {
    this.#move(State.ASKING);
    this.#on.showMessage('Allow the microphone when the browser asks…');
    let recorder;
    try {
      recorder = await Recorder.open({ onSamples: (samples) => this.#append(samples), onLost: () => this.stop() });
    } catch (/** @type {any} */ error) {
      if (this.#state === State.ASKING) this.#move(State.IDLE);
      this.#on.showMessage(error.message, true);
      return;
    }
    if (this.#state === State.ASKING) this.#record(recorder);
    else recorder.close(); // stopped while the browser was asking
  }

  /** @param {Recorder} recorder */
  #record(recorder) {
    this.#recorder = recorder;
    this.#samples = new Float32Array(MAX_S * recorder.rateHz);
    this.#filled = 0;
    this.#loudestDb = -Infinity;
    this.#on.start();
    this.#move(State.RECORDING);
    this.#on.showMessage(RECORDING);
  }

  /** @param {Float32Array} samples */
  #append(samples) {
    if (this.#state !== State.RECORDING) return;
    const fitting = samples.subarray(0, this.#samples.length - this.#filled);
    this.#samples.set(fitting, this.#filled);
    this.#filled += fitting.length;
    const seconds = this.#filled / this.#recorder.rateHz;
    const db = levelDb(samples);
    this.#loudestDb = Math.max(this.#loudestDb, db);
    this.#showLevel(db);
    this.showSeconds(seconds);
    if (seconds >= MUTED_AFTER_S) this.#on.showMessage(this.#loudestDb < MUTED_DB ? MUTED : RECORDING);
    if (this.#filled === this.#samples.length) this.stop();
  }

  /** @param {number} db */
  #showLevel(db) {
    const fraction = Math.min(1, Math.max(0, 1 - db / METER_MIN_DB));
    this.#ui.level.style.setProperty('--level', fraction.toFixed(3));
    this.#ui.level.setAttribute('aria-valuenow', String(Math.round(fraction * 100)));
  }

  /** @param {string} state */
  #move(state) {
    if (!MOVES[this.#state].includes(state)) throw new Error(`a recorder cannot go from ${this.#state} to ${state}`);
    this.#state = state;
    const { record } = this.#ui;
    /** @type {HTMLElement} */ (record.querySelector('span')).textContent = LABELS[state];
    record.classList.toggle('recording', state === State.RECORDING);
  }
}
