/** Cloning a voice: from a recording or a file, with the speaker's consent, to the server's advice. */

import { RecorderPanel } from './recorder_panel.js';
import { CloneView, State } from './voice_clone_view.js';
import { ABORTED, VoiceDoors } from './voice_doors.js';
import { PromptPlayer } from './voice_prompt_player.js';
import { Prompt } from './voice_prompt.js';

/** @typedef {import('./voice_doors.js').Made} Made */

/** @type {Record<string, string[]>} */
const MOVES = {
  [State.EMPTY]: [State.EMPTY, State.READY],
  [State.READY]: [State.EMPTY, State.READY, State.SENDING],
  [State.SENDING]: [State.READY, State.MADE],
  [State.MADE]: [State.EMPTY],
};
const CONSENT_MISSING = 'Tick the box first: the speaker must have agreed to this copy of the voice.';
const NAME_CODES = ['bad_voice_name', 'voice_name_taken'];

export class ClonePanel {
  #doors;
  #on;
  #view;
  #recorder;
  #player = new PromptPlayer();
  /** @type {string} */ #state = State.EMPTY;
  /** @type {Prompt | null} */ #prompt = null;
  /** The last one; there is none before State.MADE. @type {any} */ #made = null;
  #sending = new AbortController();

  /**
   * @param {HTMLElement} root
   * @param {VoiceDoors} doors
   * @param {{made: (voice: Made) => void, discarded: () => void, hear: () => void, done: () => void}} on
   */
  constructor(root, doors, on) {
    this.#doors = doors;
    this.#on = on;
    this.#view = new CloneView(root);
    this.#recorder = new RecorderPanel(this.#view.ui, {
      begin: () => this.#empty(),
      prompt: (prompt) => this.#take(prompt),
      tell: (message, fault) => this.#view.tell(message, fault),
    });
    this.#listen();
  }

  #listen() {
    const { fold, file, listen, consent, form, hear, done, again } = this.#view.ui;
    fold.addEventListener('toggle', () => fold.open || this.#hush());
    file.addEventListener('change', () => this.#read(file.files[0]));
    listen.addEventListener('click', () => (this.#player.playing ? this.#player.stop() : this.#play()));
    consent.addEventListener('change', () => consent.removeAttribute('aria-invalid'));
    form.addEventListener('submit', (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#submit();
    });
    hear.addEventListener('click', () => this.#on.hear());
    done.addEventListener('click', () => this.#finish());
    again.addEventListener('click', () => this.#discard());
  }

  // What it shall be made from

  /** @param {File | undefined} file */
  async #read(file) {
    if (!file) return;
    this.#recorder.stop();
    this.#empty();
    const prompt = await Prompt.of(file);
    this.#view.ui.file.value = ''; // so that the same one can be chosen again
    this.#take(prompt);
  }

  /** @param {Prompt} prompt */
  #take(prompt) {
    this.#recorder.showSeconds(prompt.seconds);
    if (prompt.fault) {
      this.#view.tell(prompt.fault, true);
      return;
    }
    this.#prompt = prompt;
    this.#move(State.READY);
    this.#view.tell(prompt.inWords);
  }

  #empty() {
    this.#player.stop();
    this.#prompt = null;
    this.#move(State.EMPTY);
    this.#recorder.showSeconds(0);
  }

  async #play() {
    const buffer = this.#prompt?.buffer;
    if (!buffer) return;
    this.#view.showListening(true);
    await this.#player.play(buffer);
    this.#view.showListening(this.#player.playing);
  }

  /** Nobody looks any more: the microphone is off. */
  #hush() {
    this.#recorder.stop();
    this.#player.stop();
  }

  // Sending it

  #submit() {
    if (this.#recorder.stop()) return; // who sees what was recorded may send it
    const { record, consent, send } = this.#view.ui;
    if (this.#state === State.SENDING) {
      if (send.getAttribute('aria-disabled') !== 'true') this.#sending.abort();
    } else if (!this.#prompt) {
      this.#view.refuse('Record something, or choose a file, first.', record);
    } else if (!consent.checked) {
      consent.setAttribute('aria-invalid', 'true');
      this.#view.refuse(CONSENT_MISSING, consent);
    } else {
      this.#send({ file: this.#prompt.file, name: this.#view.ui.name.value, consent: true });
    }
  }

  /** @param {{file: File, name: string, consent: boolean}} wish */
  async #send(wish) {
    this.#player.stop();
    this.#move(State.SENDING);
    this.#view.showSent(0);
    this.#sending = new AbortController();
    try {
      this.#show(await this.#doors.make(wish, (share) => this.#view.showSent(share), this.#sending.signal));
    } catch (/** @type {any} */ error) {
      this.#move(State.READY);
      const { name, send } = this.#view.ui;
      if (error.code === ABORTED) this.#view.tell(error.message);
      else this.#view.refuse(error.message, NAME_CODES.includes(error.code) ? name : send);
    }
  }

  /** @param {Made} made */
  #show(made) {
    this.#made = made;
    this.#move(State.MADE);
    const advised = made.advice.length ? ' What could be better:' : '';
    this.#view.tell(`“${made.name}” is made from ${made.duration_s.toFixed(1)} s of speech, and chosen.${advised}`);
    this.#view.showAdvice(made.advice);
    this.#view.ui.hear.focus();
    this.#on.made(made);
  }

  // What becomes of it

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
      await this.#doors.remove(this.#made.id);
    } catch (/** @type {any} */ error) {
      this.#view.tell(error.message, true);
      return;
    }
    this.#reset();
    this.#view.ui.record.focus();
    this.#on.discarded();
  }

  #reset() {
    this.#empty();
    this.#view.tell('');
  }

  /** @param {string} state */
  #move(state) {
    if (!MOVES[this.#state].includes(state)) throw new Error(`a clone that is ${this.#state} cannot be ${state}`);
    this.#state = state;
    this.#view.show(state, Boolean(this.#prompt?.buffer));
  }
}
