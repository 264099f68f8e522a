/** The elements of the voice cloning panel, and how each state is displayed. */

export const State = Object.freeze({ EMPTY: 'empty', READY: 'ready', SENDING: 'sending', CREATED: 'created' });

const FORM_IDS = ['form', 'fields', 'record', 'file', 'level', 'time', 'listen', 'name', 'consent', 'actions', 'send'];
const RESULT_IDS = ['progress', 'message', 'advice', 'result', 'preview', 'done', 'again'];

export class CloneView {
  /** Elements by their ids without the prefix `clone-`. @type {any} */
  ui;

  /** @param {HTMLElement} root */
  constructor(root) {
    const entries = [...FORM_IDS, ...RESULT_IDS].map((id) => [id, root.querySelector(`#clone-${id}`)]);
    this.ui = { fold: root.querySelector('#clone'), ...Object.fromEntries(entries) };
  }

  /** @param {string} state @param {boolean} playable whether there is a recording that can be played */
  show(state, playable) {
    const { fields, actions, listen, send, progress, result } = this.ui;
    fields.hidden = actions.hidden = state === State.CREATED;
    result.hidden = state !== State.CREATED;
    fields.disabled = state === State.SENDING;
    listen.disabled = !playable;
    send.textContent = state === State.SENDING ? 'Cancel' : 'Create the voice';
    progress.classList.toggle('idle', state !== State.SENDING);
    send.removeAttribute('aria-disabled');
    if (state !== State.CREATED) this.ui.advice.replaceChildren();
  }

  /** @param {number} fraction of the upload; at 1 the server is processing it */
  showProgress(fraction) {
    const { progress } = this.ui;
    this.showMessage(fraction < 1 ? 'Uploading…' : 'The server is creating the voice…');
    if (fraction < 1) progress.value = fraction;
    else progress.removeAttribute('value');
    this.ui.send.setAttribute('aria-disabled', String(fraction === 1)); // `disabled` would lose the focus
  }

  /** @param {boolean} playing */
  showPlaying(playing) {
    this.ui.listen.classList.toggle('playing', playing);
    this.ui.listen.setAttribute('aria-label', playing ? 'Stop playing' : 'Play it');
  }

  /** @param {{message: string}[]} advice */
  showAdvice(advice) {
    const items = advice.map(({ message }) => Object.assign(document.createElement('li'), { textContent: message }));
    this.ui.advice.replaceChildren(...items);
  }

  /** @param {string} text @param {boolean} [isError] */
  showMessage(text, isError = false) {
    const { message } = this.ui;
    if (message.textContent !== text) message.textContent = text; // screen readers announce every change
    message.classList.toggle('error', isError);
  }

  /** Show an error and focus the element that has to be corrected. @param {string} text @param {HTMLElement} element */
  showErrorAt(text, element) {
    this.showMessage(text, true);
    element.focus();
  }
}
