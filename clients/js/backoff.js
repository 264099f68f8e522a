/** How long to wait before the next try, so that many who lost the same server do not all come back at once. */

const FIRST_MS = 100;
const MAX_MS = 4000;

/** By chance, between nothing and a limit that doubles. Without end. */
export function* delaysMs(random = Math.random) {
  let limitMs = FIRST_MS;
  while (true) {
    yield random() * limitMs;
    limitMs = Math.min(2 * limitMs, MAX_MS);
  }
}
