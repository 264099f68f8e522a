/** The start and end time of each word of a speech, in milliseconds of its audio. */

/**
 * `end_ms` is a prediction until `isEndExact` is set.
 * @typedef {import('../../clients/js/wire.js').WordMessage & {isEndExact: boolean}} TimedWord
 */

export class WordTimes {
  /** In the order in which they are spoken. @type {TimedWord[]} */
  words = [];

  /** @param {import('../../clients/js/wire.js').WordMessage} word */
  add(word) {
    this.words.push({ ...word, isEndExact: false });
  }

  /**
   * Set the exact end of the newest word. Does nothing if the message is about another word.
   * @param {import('../../clients/js/wire.js').WordEndMessage} end
   */
  setEnd({ start_char, end_ms }) {
    const word = this.words.at(-1);
    if (word?.start_char === start_char) Object.assign(word, { end_ms, isEndExact: true });
  }

  /** The number of words that have started before this time. @param {number} playedMs */
  startedCount(playedMs) {
    return this.words.findLastIndex(({ start_ms }) => start_ms < playedMs) + 1;
  }

  /**
   * The index of the word that is spoken at this time; -1 in a pause. A word without an exact end lasts until the next
   * one starts: an exact end arrives no later than the audio it belongs to.
   * @param {number} playedMs
   */
  indexAt(playedMs) {
    const newest = this.startedCount(playedMs) - 1;
    const word = this.words[newest];
    return word?.isEndExact && word.end_ms < playedMs ? -1 : newest;
  }
}
