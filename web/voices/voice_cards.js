/** The voices as cards, of which one is selected. Resting on a card, by pointer or focus, asks for its preview. */

/** @typedef {import('./voices_api.js').Voice} Voice */

const DWELL_MS = 500; // passing over a card plays nothing

export class VoiceCards {
  /** Called when the user selects another voice. */
  onSelect = () => {};
  /** Called when the pointer or the focus rests on a card. */
  onRest = (/** @type {string} */ _id) => {};
  /** Called when it leaves the card again. */
  onLeave = () => {};
  #group;
  #list;
  #timer = 0;
  #isResting = false;

  /** @param {HTMLElement} group a radio group @param {HTMLElement} list in it */
  constructor(group, list) {
    this.#group = group;
    this.#list = list;
    list.addEventListener('change', () => this.onSelect());
  }

  /** @param {boolean} disabled */
  set disabled(disabled) {
    this.#group.ariaDisabled = String(disabled);
    for (const input of this.#inputs) input.disabled = disabled;
    this.#list.tabIndex = disabled ? 0 : -1; // so that the keyboard can scroll it in any case
  }

  /** The id of the selected voice, or ''. */
  get value() {
    return /** @type {HTMLInputElement | null} */ (this.#list.querySelector('input:checked'))?.value ?? '';
  }

  set value(id) {
    for (const input of this.#inputs) input.checked = input.value === id;
    this.#reveal();
  }

  /** Scroll the list, and nothing else, so that the selected card is in its middle. */
  #reveal() {
    const card = this.#list.querySelector('input:checked')?.parentElement;
    if (!card) return;
    this.#list.scrollLeft = card.offsetLeft - (this.#list.clientWidth - card.offsetWidth) / 2;
    this.#list.scrollTop = card.offsetTop - (this.#list.clientHeight - card.offsetHeight) / 2;
  }

  focus() {
    this.#inputs.find(({ checked }) => checked)?.focus();
  }

  /** Mark the voice that is being heard. @param {string | null} id */
  showPlaying(id) {
    for (const input of this.#inputs) input.parentElement?.classList.toggle('playing', input.value === id);
  }

  /** @param {{label: string, voices: Voice[]}[]} groups a single one needs no label */
  show(groups) {
    const value = this.value;
    this.#list.replaceChildren(
      ...groups.flatMap(({ label, voices }) => {
        const heading = Object.assign(document.createElement('p'), { className: 'voice-group', textContent: label });
        return [...(groups.length > 1 ? [heading] : []), ...voices.map((voice) => this.#card(voice))];
      }),
    );
    this.value = value;
  }

  get #inputs() {
    return [...this.#list.querySelectorAll('input')];
  }

  /** @param {Voice} voice */
  #card(voice) {
    const card = Object.assign(document.createElement('label'), { className: 'voice-card' });
    const input = Object.assign(document.createElement('input'), { type: 'radio', name: 'voice', value: voice.id });
    const name = Object.assign(document.createElement('b'), { textContent: voice.name });
    const line = Object.assign(document.createElement('small'), { textContent: describe(voice) });
    card.append(input, name, line);
    let arrived = false; // and not moved since: the page may have moved the card under a still pointer
    card.addEventListener('pointerenter', () => (arrived = true));
    card.addEventListener('pointermove', ({ pointerType }) => {
      if (arrived && pointerType === 'mouse') this.#rest(voice.id);
      arrived = false;
    });
    card.addEventListener('pointerleave', () => this.#leave());
    card.addEventListener('click', () => this.#leave()); // selecting is not resting
    input.addEventListener('focus', () => input.matches(':focus-visible') && this.#rest(voice.id));
    input.addEventListener('blur', () => this.#leave());
    return card;
  }

  /** @param {string} id */
  #rest(id) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#isResting = true;
      this.onRest(id);
    }, DWELL_MS);
  }

  #leave() {
    clearTimeout(this.#timer);
    if (this.#isResting) this.onLeave();
    this.#isResting = false;
  }
}

/** One line about a voice. @param {Voice} voice */
export function describe({ kind, description, duration_s }) {
  if (description) return description;
  if (kind !== 'cloned') return 'Comes with the model';
  return duration_s === undefined ? 'Cloned' : `Cloned from ${duration_s.toFixed(1)} s of speech`;
}
