/** What can go wrong for someone who uses this client. Every message says what happened and what to do about it. */

/** The root of all errors of this package. */
export class SaylineError extends Error {
  name = 'SaylineError';
}

/**
 * No session came about: no server there, a wrong key, a full server, a wrong address. `retryAfterMs`: where it is there,
 * the same has a chance after so long.
 */
export class Refused extends SaylineError {
  name = 'Refused';

  /** @param {string} message @param {number} [retryAfterMs] */
  constructor(message, retryAfterMs) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * The session ended before its contexts did. `closeCode` is there where the server closed it, `retryAfterMs` where
 * another one has a chance after so long.
 */
export class ConnectionLost extends SaylineError {
  name = 'ConnectionLost';

  /** @param {string} message @param {{closeCode?: number, retryAfterMs?: number}} [more] */
  constructor(message, { closeCode, retryAfterMs } = {}) {
    super(message);
    this.closeCode = closeCode;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * The connection is back, but the server no longer knows this context: speak its text in another one of the same
 * session.
 */
export class NotRecovered extends ConnectionLost {
  name = 'NotRecovered';
}

/**
 * The server gave up one context, or refused a message of it; the session and its other contexts go on. `code` is for
 * programs. `retryAfterMs`: where it is there, the same has a chance after so long.
 */
export class ContextFailed extends SaylineError {
  name = 'ContextFailed';

  /** @param {string} code @param {string} message @param {number} [retryAfterMs] */
  constructor(code, message, retryAfterMs) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** No place: try again after `retryAfterMs`, or wait in line, as a context does without `wait: false`. */
export class Full extends ContextFailed {
  name = 'Full';
}

/** More than this key, session or context may have: wait `retryAfterMs`, or for speech that is under way. */
export class Limited extends ContextFailed {
  name = 'Limited';
}

/** What came was not read: read it sooner, or ask for less of it ahead with `maxLeadMs`. */
export class SlowConsumer extends ContextFailed {
  name = 'SlowConsumer';
}

/** There is no such voice for this key: `session.ready.voices` has those that there are. */
export class UnknownVoice extends ContextFailed {
  name = 'UnknownVoice';
}

/** The server sent something that is not a Sayline message. */
export class ProtocolError extends SaylineError {
  name = 'ProtocolError';
}

const KINDS = new Map([
  ['full', Full],
  ['rate_limited', Limited],
  ['text_limit', Limited],
  ['too_many_contexts', Limited],
  ['slow_consumer', SlowConsumer],
  ['unknown_voice', UnknownVoice],
]);

/**
 * The exception for an error of the server.
 * @param {{code: string, message: string, retry_after_ms?: number}} error
 */
export function contextFailed({ code, message, retry_after_ms }) {
  return new (KINDS.get(code) ?? ContextFailed)(code, message, retry_after_ms);
}
