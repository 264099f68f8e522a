/** Reconnection delays with full jitter, so that clients of a failed server do not all reconnect at once. */

const FIRST_MS = 100;
const MAX_MS = 4000;

/** Yield random delays below a limit that doubles up to `MAX_MS`, forever. */
export function* delaysMs(random = Math.random) {
  let limitMs = FIRST_MS;
  while (true) {
    yield random() * limitMs;
    limitMs = Math.min(2 * limitMs, MAX_MS);
  }
}
