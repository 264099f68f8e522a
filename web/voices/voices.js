/** The voices section of the page: select, preview, clone and delete voices. */

import { errorText } from '../status_text.js';
import { VoiceCards } from './voice_cards.js';
import { ClonePanel } from './voice_clone.js';
import { VoicesApi } from './voices_api.js';

/** @typedef {import('./voices_api.js').Voice} Voice */
/**
 * What the page provides.
 * @typedef {object} Server
 * @property {() => Record<string, string>} headers for HTTP requests
 * @property {(voice: string, text: string) => Promise<void>} speak resolves when it has been played or was stopped
 * @property {() => void} stop
 * @property {() => boolean} isBusy whether something is playing
 * @property {(message: string, isError?: boolean) => void} showStatus
 */

/** By the first part of a model's name. @type {Record<string, string>} */
const SAMPLE_TEXTS = {
  dutch: 'Hallo, zo klink ik.',
  french: 'Bonjour, voici comment je parle.',
  german: 'Hallo, so klinge ich.',
  italian: 'Ciao, ecco come parlo.',
  portuguese: 'Olá, é assim que eu falo.',
  spanish: 'Hola, así es como hablo.',
};
const ENGLISH = 'Hello, this is how I sound.';

/**
 * `root` dispatches `change` when another voice is selected; `wanted` is the id of the first one, if it exists.
 * @param {{root: HTMLElement, server: Server, wanted?: string}} page
 */
export function installVoices({ root, server, wanted }) {
  return new Voices(root, server, wanted);
}

class Voices {
  #root;
  #server;
  #api;
  #cards;
  #preview;
  #remove;
  #confirm;
  /** @type {Voice[]} */ #voices = [];
  #wanted;
  #defaultVoice = '';
  #sampleText = ENGLISH;
  #isConnected = false;
  /** The voice whose sample is playing. @type {string | null} */
  #previewed = null;
  #sample = { isResting: false }; // the last one

  /** @param {HTMLElement} root @param {Server} server @param {string} [wanted] */
  constructor(root, server, wanted) {
    const element = (/** @type {string} */ id) => /** @type {any} */ (root.querySelector(`#${id}`));
    this.#root = root;
    this.#server = server;
    this.#api = new VoicesApi(() => server.headers());
    this.#wanted = wanted;
    this.#cards = new VoiceCards(element('voice'), element('voice-cards'));
    this.#preview = element('preview');
    this.#remove = element('voice-delete');
    this.#confirm = element('voice-delete-confirm');
    this.#addListeners();
    new ClonePanel(root, this.#api, {
      created: (voice) => this.#show([...this.#voices, voice], voice.id),
      discarded: () => this.#refresh(),
      preview: () => this.#playSample(),
      isTaken: (name) => this.#voices.some((voice) => voice.name === name),
      done: () => this.#cards.focus(),
    });
  }

  /** The id of the selected voice; undefined before the voices are known. @returns {string | undefined} */
  get voice() {
    return this.#voices.length ? this.#cards.value : undefined;
  }

  get isEnglish() {
    return this.#sampleText === ENGLISH;
  }

  /**
   * Show the voices of a new session, and fetch the cloned ones.
   * @param {{model: string, voices: string[], default_voice: string}} ready
   */
  async open({ model, voices, default_voice }) {
    this.#defaultVoice = default_voice;
    this.#sampleText = SAMPLE_TEXTS[model.split('_')[0]] ?? ENGLISH;
    this.#isConnected = true;
    const cloned = this.#voices.filter(({ kind }) => kind === 'cloned');
    this.#show([...voices.map((name) => this.#builtIn(name)), ...cloned], this.voice ?? this.#wanted);
    await this.#refresh(this.#wanted);
    this.#wanted = undefined;
  }

  /** Disable the controls, because the session has ended. */
  close() {
    this.#isConnected = false;
    this.#updateControls();
  }

  #addListeners() {
    this.#cards.onSelect = () => {
      if (this.#previewed) this.#server.stop();
      this.#updateControls();
    };
    this.#cards.onRest = (id) => this.#onRest(id);
    this.#cards.onLeave = () => this.#previewed && this.#sample.isResting && this.#server.stop();
    this.#preview.addEventListener('click', () => (this.#previewed ? this.#server.stop() : this.#playSample()));
    this.#remove.addEventListener('click', () => this.#askToDelete());
    this.#confirm.addEventListener('close', () => this.#confirm.returnValue === 'delete' && this.#delete());
  }

  /** Play a sample, unless something else plays or the browser would block it. @param {string} id */
  #onRest(id) {
    if (this.#isConnected && !this.#server.isBusy() && navigator.userActivation?.hasBeenActive) this.#playSample(id, true);
  }

  /** @param {string} [id] @param {boolean} [isResting] it ends when the pointer or the focus leaves the card */
  async #playSample(id = this.#cards.value, isResting = false) {
    if (!this.#isConnected) {
      this.#server.showStatus('Connect to the server first, then preview the voice.', true);
      return;
    }
    const sample = (this.#sample = { isResting });
    this.#showPreviewed(id);
    try {
      await this.#server.speak(id, this.#sampleText);
    } catch (/** @type {any} */ error) {
      if (sample === this.#sample) this.#server.showStatus(errorText(error), true);
    }
    if (sample === this.#sample) this.#showPreviewed(null); // else another one plays now
  }

  /** @param {string} [wanted] */
  async #refresh(wanted) {
    try {
      this.#show(await this.#api.list(), wanted ?? this.voice);
    } catch (/** @type {any} */ error) {
      this.#server.showStatus(error.message, true);
    }
  }

  #askToDelete() {
    this.#confirm.querySelector('strong').textContent = this.#selected.name;
    this.#confirm.returnValue = '';
    this.#confirm.showModal();
  }

  async #delete() {
    const { id, name } = this.#selected;
    try {
      await this.#api.remove(id);
      this.#show(this.#voices.filter((voice) => voice.id !== id));
      this.#server.showStatus(`The voice “${name}” was deleted.`);
      this.#cards.focus();
    } catch (/** @type {any} */ error) {
      this.#server.showStatus(error.message, true);
      await this.#refresh();
    }
  }

  /** Undefined before the voices are known. @returns {any} */
  get #selected() {
    return this.#voices.find(({ id }) => id === this.#cards.value);
  }

  /** @param {Voice[]} voices @param {string} [wanted] by default the selected one, if it still exists */
  #show(voices, wanted = this.voice) {
    const before = this.voice;
    this.#voices = voices;
    const cloned = voices.filter(({ kind }) => kind === 'cloned');
    const builtIns = { label: 'Built in', voices: voices.filter(({ kind }) => kind !== 'cloned') };
    this.#cards.show([...(cloned.length ? [{ label: 'Yours', voices: cloned }] : []), builtIns]);
    const candidates = [wanted, this.#defaultVoice, voices[0]?.id];
    const selected = candidates.find((id) => voices.some((voice) => voice.id === id));
    if (selected !== undefined) this.#cards.value = selected;
    this.#updateControls();
    if (this.voice !== before) this.#root.dispatchEvent(new Event('change', { bubbles: true }));
  }

  #updateControls() {
    const isUsable = this.#isConnected && this.#voices.length > 0;
    this.#cards.disabled = this.#preview.disabled = !isUsable;
    this.#remove.disabled = !isUsable || this.#selected?.kind !== 'cloned';
  }

  /** @param {string | null} id */
  #showPreviewed(id) {
    this.#previewed = id;
    this.#cards.showPlaying(id);
    this.#preview.classList.toggle('playing', id !== null);
    this.#preview.setAttribute('aria-label', id === null ? 'Preview this voice' : 'Stop the preview');
  }

  /** A voice of a new session, before its description is known. @param {string} name @returns {Voice} */
  #builtIn(name) {
    return this.#voices.find(({ id }) => id === name) ?? { id: name, name, kind: 'built_in' };
  }
}
