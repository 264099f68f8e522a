/** The errors of this package. Every message says what happened and what to do about it. */

/** Base class of all errors of this package. */
export class SaylineError extends Error {
  name = 'SaylineError';
}

/**
 * No session could be opened: no server, a rejected key, a full server or a wrong address. If `retryAfterMs` is set, a
 * retry after that time may succeed. `isServerRefusal`: the server itself refused the session, because it is full or stops.
 */
export class Refused extends SaylineError {
  name = 'Refused';

  /** @param {string} message @param {number} [retryAfterMs] @param {boolean} [isServerRefusal] */
  constructor(message, retryAfterMs, isServerRefusal = false) {
    super(message);
    this.retryAfterMs = retryAfterMs;
    this.isServerRefusal = isServerRefusal;
  }
}

/**
 * The session ended before its contexts did. `closeCode` is set if the server closed it, `retryAfterMs` if a new
 * session may succeed after that time.
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
 * The connection was restored, but the server cannot go on with this context: speak its text in a new context of the same
 * session.
 */
export class NotRecovered extends ConnectionLost {
  name = 'NotRecovered';
}

/**
 * The server gave up one context or refused one of its messages; the session and its other contexts go on. `code` is
 * for programs. If `retryAfterMs` is set, a retry after that time may succeed.
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

/** The server refused to clone, download or delete a voice. `code` is for programs. */
export class VoiceFailed extends SaylineError {
  name = 'VoiceFailed';

  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** The server is full: retry after `retryAfterMs`, or wait in the queue, as a context does without `wait: false`. */
export class Full extends ContextFailed {
  name = 'Full';
}

/** A limit of the key, session or context was exceeded: wait `retryAfterMs`, or until some speech has finished. */
export class Limited extends ContextFailed {
  name = 'Limited';
}

/** Received audio was not read: read it sooner, or lower `maxLeadMs`. */
export class SlowConsumer extends ContextFailed {
  name = 'SlowConsumer';
}

/** The voice does not exist for this key: `session.ready.voices` lists those that do. */
export class UnknownVoice extends ContextFailed {
  name = 'UnknownVoice';
}

/** The server sent an invalid message. */
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
 * Convert an error message of the server to an exception.
 * @param {{code: string, message: string, retry_after_ms?: number}} error
 */
export function contextFailed({ code, message, retry_after_ms }) {
  return new (KINDS.get(code) ?? ContextFailed)(code, message, retry_after_ms);
}
