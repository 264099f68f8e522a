/** Simulates a language model that streams a text token by token. */

const TOKEN_CHARS = 5;

/**
 * Yield the text one token at a time.
 * @param {string} text
 * @param {() => number} tokensPerS read before each token, so that the rate can change on the way
 * @param {(ms: number) => Promise<unknown>} wait
 */
export async function* simulateLlm(text, tokensPerS, wait = (ms) => new Promise((next) => setTimeout(next, ms))) {
  for (const token of tokenize(text)) {
    yield token;
    await wait(1000 / tokensPerS());
  }
}

/** Split a text into words, and long words into parts. Joined, the tokens are the text. @param {string} text */
export function tokenize(text) {
  return text.match(new RegExp(`\\s*\\S{1,${TOKEN_CHARS}}(?:\\s+$)?|\\s+`, 'gu')) ?? [];
}
