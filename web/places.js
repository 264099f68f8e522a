/**
 * Where a word lies in a text: the server counts code points, strings count halves of some.
 * Null where it does not lie there.
 * @param {string} text
 * @param {number} startChar
 * @param {number} endChar
 */
export function places(text, startChar, endChar) {
  if (startChar < 0 || endChar <= startChar) return null;
  let [chars, at, start] = [0, 0, 0];
  for (const char of text) {
    if (chars === startChar) start = at;
    if (chars === endChar) break;
    at += char.length;
    chars++;
  }
  return chars === endChar ? { start, end: at } : null;
}
