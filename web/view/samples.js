/** Sample texts: a click on one replaces the text to speak. */

/** @type {Record<string, string>} */
const TEXTS = {
  agent:
    'Thanks for calling, this is the front desk. I found your table for two on Friday at half past seven. ' +
    'Would you like to sit by the window, or outside on the terrace?',
  story:
    'Once upon a time there was a lighthouse keeper who collected the names of passing ships. One night, in the fog, ' +
    'a ship without a name came by. She lit every lamp she had, and waited.',
  numbers:
    'Your order of $1,249.99 ships on 12/24/2026 at 5:45 pm. You save 15%, and it weighs 3.5 kg. ' +
    'Questions? Call 555-0123 or write to help@example.com.',
  markdown:
    '## What is new\n\n- **First audio** after `25 ms`\n- *Two* cores, dozens of listeners\n\n' +
    'Read [the manual](https://example.com/manual), and enjoy. 🎉',
  pauses: 'Are you ready? [pause:0.5] Three. [pause:0.8] Two. [pause:0.8] One. <break time="1s"/> Here we go!',
};

export class Samples {
  #group = /** @type {HTMLElement} */ (document.getElementById('samples'));

  /** @param {HTMLTextAreaElement} text */
  constructor(text) {
    for (const button of this.#group.querySelectorAll('button')) {
      button.addEventListener('click', () => {
        text.value = TEXTS[button.dataset.sample ?? ''];
        text.dispatchEvent(new Event('input', { bubbles: true }));
      });
    }
  }

  /** The samples are English: hide them from models of other languages. @param {boolean} isEnglish */
  show(isEnglish) {
    this.#group.classList.toggle('other-language', !isEnglish);
  }
}
