/** The voice cloning panel: a recording or a file, the speaker's consent, the upload, and the server's advice. */

import { RecorderPanel } from './recorder_panel.js';
import { CloneView, State } from './voice_clone_view.js';
import { Prompt, PromptPlayer } from './voice_prompt.js';
import { ABORTED, VoicesApi } from './voices_api.js';

/** @typedef {import('./voices_api.js').ClonedVoice} ClonedVoice */

/** @type {Record<string, string[]>} */
const MOVES = {
  [State.EMPTY]: [State.EMPTY, State.READY],
  [State.READY]: [State.EMPTY, State.READY, State.SENDING],
  [State.SENDING]: [State.READY, State.CREATED],
  [State.CREATED]: [State.EMPTY],
};
const CONSENT_MISSING = 'Tick the box first: the speaker must have agreed to this clone of the voice.';
const NAME_CODES = ['bad_voice_name', 'voice_name_taken'];

export class ClonePanel {
  #api;
  #on;
  #view;
  #recorder;
  #player = new PromptPlayer();
  /** @type {string} */ #state = State.EMPTY;
  /** @type {Prompt | null} */ #prompt = null;
  /** The latest voice; null before the first State.CREATED. @type {any} */ #created = null;
  #upload = new AbortController();
  #suggested = '';

  /**
   * @param {HTMLElement} root
   * @param {VoicesApi} api
   * @param {{created: (voice: ClonedVoice) => void, discarded: () => void, preview: () => void, done: () => void,
   *   isTaken: (name: string) => boolean}} on
   */
  constructor(root, api, on) {
    this.#api = api;
    this.#on = on;
    this.#view = new CloneView(root);
    this.#recorder = new RecorderPanel(this.#view.ui, {
      start: () => this.#clear(),
      prompt: (prompt) => this.#setPrompt(prompt),
      showMessage: (message, isError) => this.#view.showMessage(message, isError),
    });
    this.#addListeners();
  }

  #addListeners() {
    const { fold, file, listen, consent, form, preview, done, again } = this.#view.ui;
    fold.addEventListener('toggle', () => fold.open || this.#stopAudio());
    file.addEventListener('change', () => this.#read(file.files[0]));
    listen.addEventListener('click', () => (this.#player.playing ? this.#player.stop() : this.#play()));
    consent.addEventListener('change', () => consent.removeAttribute('aria-invalid'));
    form.addEventListener('submit', (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#submit();
    });
    preview.addEventListener('click', () => this.#on.preview());
    done.addEventListener('click', () => this.#finish());
    again.addEventListener('click', () => this.#discard());
  }

  // The recording

  /** @param {File | undefined} file */
  async #read(file) {
    if (!file) return;
    this.#recorder.stop();
    this.#clear();
    const prompt = await Prompt.fromFile(file);
    this.#view.ui.file.value = ''; // otherwise choosing the same file again fires no event
    this.#setPrompt(prompt);
  }

  /** @param {Prompt} prompt */
  #setPrompt(prompt) {
    this.#recorder.showSeconds(prompt.seconds);
    if (prompt.problem) {
      this.#view.showMessage(prompt.problem, true);
      return;
    }
    this.#prompt = prompt;
    this.#suggestName(prompt.suggestedName);
    this.#move(State.READY);
    this.#view.showMessage(prompt.summary);
  }

  /** Fill in the name of a file, unless the user has entered a name. @param {string} stem */
  #suggestName(stem) {
    const { name } = this.#view.ui;
    if (name.value && name.value !== this.#suggested) return;
    this.#suggested = stem;
    for (let number = 2; this.#on.isTaken(this.#suggested); number++) this.#suggested = `${stem} ${number}`;
    name.value = this.#suggested;
  }

  #clear() {
    this.#player.stop();
    this.#prompt = null;
    this.#move(State.EMPTY);
    this.#recorder.showSeconds(0);
  }

  async #play() {
    const buffer = this.#prompt?.buffer;
    if (!buffer) return;
    this.#view.showPlaying(true);
    await this.#player.play(buffer);
    this.#view.showPlaying(this.#player.playing);
  }

  /** Stop recording and playing, when the panel is closed. */
  #stopAudio() {
    this.#recorder.stop();
    this.#player.stop();
  }

  // The upload

  #submit() {
    if (this.#recorder.stop()) return; // the user reviews the recording before it is sent
    const { record, consent, send } = this.#view.ui;
    if (this.#state === State.SENDING) {
      if (send.getAttribute('aria-disabled') !== 'true') this.#upload.abort();
    } else if (!this.#prompt) {
      this.#view.showErrorAt('Record something or choose a file first.', record);
    } else if (!consent.checked) {
      consent.setAttribute('aria-invalid', 'true');
      this.#view.showErrorAt(CONSENT_MISSING, consent);
    } else {
      this.#send({ file: this.#prompt.file, name: this.#view.ui.name.value, consent: true });
    }
  }

  /** @param {{file: File, name: string, consent: boolean}} fields */
  async #send(fields) {
    this.#player.stop();
    this.#move(State.SENDING);
    this.#view.showProgress(0);
    this.#upload = new AbortController();
    const onProgress = (/** @type {number} */ fraction) => this.#view.showProgress(fraction);
    try {
      this.#showCreated(await this.#api.clone(fields, onProgress, this.#upload.signal));
    } catch (/** @type {any} */ error) {
      this.#move(State.READY);
      const { name, send } = this.#view.ui;
      if (error.code === ABORTED) this.#view.showMessage(error.message);
      else this.#view.showErrorAt(error.message, NAME_CODES.includes(error.code) ? name : send);
    }
  }

  /** @param {ClonedVoice} voice */
  #showCreated(voice) {
    this.#created = voice;
    this.#move(State.CREATED);
    const advice = voice.advice.length ? ' What could be better:' : '';
    const created = `“${voice.name}” was created from ${voice.duration_s.toFixed(1)} s of speech and is now selected.`;
    this.#view.showMessage(created + advice);
    this.#view.showAdvice(voice.advice);
    this.#view.ui.preview.focus();
    this.#on.created(voice);
  }

  // The result

  #finish() {
    this.#reset();
    const { fold, name, consent } = this.#view.ui;
    name.value = '';
    consent.checked = false;
    fold.open = false;
    this.#on.done();
  }

  async #discard() {
    try {
      await this.#api.remove(this.#created.id);
    } catch (/** @type {any} */ error) {
      this.#view.showMessage(error.message, true);
      return;
    }
    this.#reset();
    this.#view.ui.record.focus();
    this.#on.discarded();
  }

  #reset() {
    this.#clear();
    this.#view.showMessage('');
  }

  /** @param {string} state */
  #move(state) {
    if (!MOVES[this.#state].includes(state)) throw new Error(`a clone panel cannot go from ${this.#state} to ${state}`);
    this.#state = state;
    this.#view.show(state, Boolean(this.#prompt?.buffer));
  }
}
