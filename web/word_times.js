/** When each word of a speech is spoken, in milliseconds of the speech. Knows no page. */

/**
 * `end_ms` is what is expected, and in truth where `isEndTrue`.
 * @typedef {import('../clients/js/wire.js').WordMessage & {isEndTrue: boolean}} TimedWord
 */

export class WordTimes {
  /** In the order in which they are heard. @type {TimedWord[]} */
  words = [];

  /** The next word that will be heard. @param {import('../clients/js/wire.js').WordMessage} word */
  tell(word) {
    this.words.push({ ...word, isEndTrue: false });
  }

  /** When the newest word was over, if it is that one. @param {import('../clients/js/wire.js').WordEndMessage} end */
  tellEnd({ start_char, end_ms }) {
    const word = this.words.at(-1);
    if (word?.start_char === start_char) Object.assign(word, { end_ms, isEndTrue: true });
  }

  /** How many words have begun by then. @param {number} playedMs */
  begun(playedMs) {
    return this.words.findLastIndex(({ start_ms }) => start_ms < playedMs) + 1;
  }

  /**
   * Which word is being spoken then; -1 in a pause. One whose true end is not known goes on until the next begins: a
   * true end comes no later than its audio.
   * @param {number} playedMs
   */
  spoken(playedMs) {
    const newest = this.begun(playedMs) - 1;
    const word = this.words[newest];
    return word?.isEndTrue && word.end_ms < playedMs ? -1 : newest;
  }
}
