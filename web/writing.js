/** Text as a machine writes it, how much of it has been heard, how a wait is told. Knows no page and no server. */

const WORDS_PER_S = 8;

/**
 * A word at a time, as fast as a language model writes.
 * @param {string} text
 * @param {(ms: number) => Promise<unknown>} wait
 */
export async function* likeAnLlm(text, wait = (ms) => new Promise((next) => setTimeout(next, ms))) {
  for (const word of text.match(/\s*\S+\s*/gu) ?? []) {
    yield word;
    await wait(1000 / WORDS_PER_S);
  }
}

/**
 * What somebody is told who waits.
 * @param {number} place 1 is the next
 */
export function inLine(place) {
  const kind = new Intl.PluralRules('en', { type: 'ordinal' }).select(place);
  const ending = { one: 'st', two: 'nd', few: 'rd' }[kind] ?? 'th';
  return `All voices are busy. You are ${place}${ending} in line…`;
}

/**
 * How many characters of what was written have begun to be heard, by whole words.
 * @param {string} written
 * @param {{end_char: number, start_ms: number}[]} words in code points
 * @param {number} playedMs
 */
export function countHeard(written, words, playedMs) {
  const newest = words.findLast(({ start_ms }) => start_ms < playedMs);
  return newest ? [...written].slice(0, newest.end_char).join('').length : 0;
}
