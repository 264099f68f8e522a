/** Text as a language model writes it. Knows no page and no server. */

const TOKEN_CHARS = 5;

/**
 * A token at a time: words, and long words in parts.
 * @param {string} text
 * @param {() => number} tokensPerS asked before each token, so that it can be changed on the way
 * @param {(ms: number) => Promise<unknown>} wait
 */
export async function* likeAnLlm(text, tokensPerS, wait = (ms) => new Promise((next) => setTimeout(next, ms))) {
  for (const token of tokens(text)) {
    yield token;
    await wait(1000 / tokensPerS());
  }
}

/** Put together they are the text. @param {string} text */
export function tokens(text) {
  return text.match(new RegExp(`\\s*\\S{1,${TOKEN_CHARS}}(?:\\s+$)?|\\s+`, 'gu')) ?? [];
}
