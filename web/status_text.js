/** Status and error messages of the page, as text. */

/**
 * For a speech that waits in the server's queue.
 * @param {number} position 1 is the next
 */
export function queueText(position) {
  const kind = new Intl.PluralRules('en', { type: 'ordinal' }).select(position);
  const suffix = { one: 'st', two: 'nd', few: 'rd' }[kind] ?? 'th';
  return `All voices are busy. You are ${position}${suffix} in line…`;
}

/** Minutes, seconds and tenths. @param {number} ms */
export function formatClock(ms) {
  const tenths = Math.round(Math.max(0, ms) / 100);
  return `${Math.floor(tenths / 600)}:${String(Math.floor(tenths / 10) % 60).padStart(2, '0')}.${tenths % 10}`;
}

/** @param {number} ms */
export function formatSeconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Start and end of a word. @param {{start_ms: number, end_ms: number, estimated: boolean}} word */
export function wordTimesText({ start_ms, end_ms, estimated }) {
  const [start, end] = [start_ms, end_ms].map((ms) => (ms / 1000).toFixed(2));
  return `${start} to ${end} s${estimated ? ', estimated' : ''}`;
}

/**
 * How much had been heard when the speech was stopped.
 * @param {number} playedMs
 * @param {{heard_text: string, unheard_text: string}} cancelled
 */
export function stoppedText(playedMs, { heard_text, unheard_text }) {
  const [heard, unheard] = [heard_text, unheard_text].map((text) => (text.match(/\S+/gu) ?? []).length);
  return `Stopped after ${formatSeconds(playedMs)}: ${heard} of ${heard + unheard} words were heard.`;
}

/** What the user should know and can do when a speech is done. @param {string[]} warnings of the server */
export function doneText(warnings) {
  if (!warnings.length) return 'Done. Click a word or the waveform to play it again.';
  return `Done, but not all of it was spoken: ${warnings.map((text) => errorText({ message: text })).join(' ')}`;
}

/** By the name of an error, for those whose messages are for programmers. @type {Record<string, string>} */
const PLAIN = {
  ConnectionLost: 'The connection to the server was lost. Press Speak to start again.',
  NotRecovered: 'The server restarted, and this speech was lost. Press Speak to start again.',
  Full: 'All voices are busy.',
};
const RESTART = 1012; // the code of a server that stops or restarts

/**
 * An error's message as a sentence, with the retry time unless the message has it.
 * @param {{message: string, name?: string, closeCode?: number, retryAfterMs?: number}} error
 * @param {boolean} [hasRetryTime]
 */
export function errorText({ message, name = '', closeCode, retryAfterMs }, hasRetryTime = true) {
  if (closeCode === RESTART) return 'The server restarted. Press Speak to start again.';
  const sentence = PLAIN[name] ?? asSentence(message);
  const isComplete = !hasRetryTime || !retryAfterMs || /\b(retry|try again) in \d/i.test(sentence);
  return isComplete ? sentence : `${sentence} Try again in ${Math.ceil(retryAfterMs / 1000)} s.`;
}

/** @param {string} message */
function asSentence(message) {
  const capitalized = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?…]$/u.test(capitalized) ? capitalized : `${capitalized}.`;
}

/**
 * The status of a speech in progress; problems come first.
 * @param {{phase: string, queuePosition: number | null, stall: 'pause' | 'underrun' | null,
 *   underruns: {count: number, ms: number}}} speech
 * @param {'lost' | 'back' | null} notice about the connection
 * @returns {{message: string, isError?: boolean}}
 */
export function speechStatus({ phase, queuePosition, stall, underruns }, notice) {
  if (notice === 'lost') {
    return { message: 'Connection lost. Reconnecting… Audio that has arrived still plays.', isError: true };
  }
  if (notice === 'back') return { message: 'Connected again. The speech continues.' };
  if (phase === 'paused') return { message: 'Paused.' };
  if (phase === 'waiting') {
    return { message: queuePosition === null ? 'Waiting for the first audio…' : queueText(queuePosition) };
  }
  if (stall === 'pause') return { message: 'Waiting for more text…' };
  if (stall) return { message: 'Waiting for audio: the network or the server is slow.', isError: true };
  if (!underruns.count) return { message: 'Speaking…' };
  const times = underruns.count === 1 ? 'once' : `${underruns.count} times`;
  const duration = underruns.ms < 50 ? 'a moment' : formatSeconds(underruns.ms);
  return { message: `Speaking. The audio paused ${times}, for ${duration}: the network or the server is slow.` };
}

/**
 * Why a speech could not be saved. Over HTTP the server takes less text at once than it speaks over a WebSocket.
 * @param {{message: string, code?: string}} error
 */
export function saveErrorText({ message, code }) {
  const limit = /limit ([\d,]+)/.exec(message)?.[1];
  if (code !== 'text_limit' || !limit) return message;
  return `the text is too long to be saved in one file: at most ${limit} characters. Save it in parts`;
}
