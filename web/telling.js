/** What happens, in words. Knows no page. */

/**
 * What somebody is told who waits.
 * @param {number} place 1 is the next
 */
export function inLine(place) {
  const kind = new Intl.PluralRules('en', { type: 'ordinal' }).select(place);
  const ending = { one: 'st', two: 'nd', few: 'rd' }[kind] ?? 'th';
  return `All voices are busy. You are ${place}${ending} in line…`;
}

/** @param {number} ms */
export function clock(ms) {
  const tenths = Math.round(Math.max(0, ms) / 100);
  return `${Math.floor(tenths / 600)}:${String(Math.floor(tenths / 10) % 60).padStart(2, '0')}.${tenths % 10}`;
}

/** @param {number} ms */
export function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** When a word is heard. @param {{start_ms: number, end_ms: number, estimated: boolean}} word */
export function when({ start_ms, end_ms, estimated }) {
  const [start, end] = [start_ms, end_ms].map((ms) => (ms / 1000).toFixed(2));
  return `${start} to ${end} s${estimated ? ', estimated' : ''}`;
}

/**
 * What had been heard when it was stopped.
 * @param {number} playedMs
 * @param {{heard_text: string, unheard_text: string}} cancelled
 */
export function stopped(playedMs, { heard_text, unheard_text }) {
  const [heard, unheard] = [heard_text, unheard_text].map((text) => (text.match(/\S+/gu) ?? []).length);
  return `Stopped after ${seconds(playedMs)}: ${heard} of ${heard + unheard} words had been heard.`;
}

/** @param {{message: string, retryAfterMs?: number}} error */
export function failed({ message, retryAfterMs }) {
  const told = message.charAt(0).toUpperCase() + message.slice(1);
  const ended = /[.!?…]$/u.test(told) ? told : `${told}.`;
  return retryAfterMs ? `${ended} Try again in ${Math.ceil(retryAfterMs / 1000)} s.` : ended;
}

/**
 * While somebody talks.
 * @param {{phase: string, place: number | null, isDry: boolean, isWritten: boolean,
 *   dry: {count: number, ms: number}}} talk
 * @param {'lost' | 'back' | null} news of the connection
 * @returns {{message: string, fault?: boolean}}
 */
export function happening({ phase, place, isDry, isWritten, dry }, news) {
  if (news === 'lost') {
    return { message: 'The connection is lost. Getting it back… What has arrived is still heard.', fault: true };
  }
  if (news === 'back') return { message: 'Connected again. The speech goes on.' };
  if (phase === 'paused') return { message: 'Paused.' };
  if (phase === 'waiting') return { message: place === null ? 'Waiting for the first sound…' : inLine(place) };
  if (isDry && !isWritten) return { message: 'Waiting for more text…' };
  if (isDry) return { message: 'Waiting for sound: the network or the server is slow.', fault: true };
  const often = dry.count === 1 ? 'once' : `${dry.count} times`;
  const long = dry.ms < 50 ? 'a moment' : seconds(dry.ms);
  const told = `Speaking. The sound stopped ${often}, for ${long}: the network or the server is slow.`;
  return { message: dry.count ? told : 'Speaking…' };
}
