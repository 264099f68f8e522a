/** How the cloning of a voice is shown: which of its elements, and what they say. Decides nothing. */

export const State = Object.freeze({ EMPTY: 'empty', READY: 'ready', SENDING: 'sending', MADE: 'made' });

const NAMES = ['form', 'fields', 'record', 'file', 'level', 'time', 'listen', 'name', 'consent', 'actions', 'send'];
const MORE_NAMES = ['progress', 'words', 'advice', 'result', 'hear', 'done', 'again'];

export class CloneView {
  /** By their ids, without what those begin with. @type {any} */
  ui;

  /** @param {HTMLElement} root */
  constructor(root) {
    const named = [...NAMES, ...MORE_NAMES].map((name) => [name, root.querySelector(`#clone-${name}`)]);
    this.ui = { fold: root.querySelector('#clone'), ...Object.fromEntries(named) };
  }

  /** @param {string} state @param {boolean} playable whether there is something to listen to */
  show(state, playable) {
    const { fields, actions, listen, send, progress, result } = this.ui;
    fields.hidden = actions.hidden = state === State.MADE;
    result.hidden = state !== State.MADE;
    fields.disabled = state === State.SENDING;
    listen.disabled = !playable;
    send.textContent = state === State.SENDING ? 'Cancel' : 'Make the voice';
    progress.classList.toggle('idle', state !== State.SENDING);
    send.removeAttribute('aria-disabled');
    if (state !== State.MADE) this.ui.advice.replaceChildren();
  }

  /** @param {number} share 1: the server has it all, and works */
  showSent(share) {
    const { progress } = this.ui;
    this.tell(share < 1 ? 'Sending…' : 'The server listens to it and makes the voice…');
    if (share < 1) progress.value = share;
    else progress.removeAttribute('value');
    this.ui.send.setAttribute('aria-disabled', String(share === 1)); // disabled it would lose the focus
  }

  /** @param {boolean} playing */
  showListening(playing) {
    this.ui.listen.classList.toggle('speaking', playing);
    this.ui.listen.setAttribute('aria-label', playing ? 'Stop listening' : 'Listen to it');
  }

  /** @param {{message: string}[]} advice */
  showAdvice(advice) {
    const items = advice.map(({ message }) => Object.assign(document.createElement('li'), { textContent: message }));
    this.ui.advice.replaceChildren(...items);
  }

  /** @param {string} message @param {boolean} [fault] */
  tell(message, fault = false) {
    const { words } = this.ui;
    if (words.textContent !== message) words.textContent = message; // said once by a screen reader
    words.classList.toggle('fault', fault);
  }

  /** What has to be mended, with the focus where. @param {string} message @param {HTMLElement} element */
  refuse(message, element) {
    this.tell(message, true);
    element.focus();
  }
}
