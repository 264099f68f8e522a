/** What can go wrong for someone who uses this client. Every message says what happened and what to do about it. */

/** The root of all errors of this package. */
export class SaylineError extends Error {
  name = 'SaylineError';
}

/** The session ended, or never began. */
export class ConnectionLost extends SaylineError {
  name = 'ConnectionLost';
}

/**
 * The server gave up one context; the session and its other contexts go on. `code` is for programs. `retryAfterMs`:
 * where it is there, the same has a chance after so long.
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

/** The server sent something that is not a Sayline message. */
export class ProtocolError extends SaylineError {
  name = 'ProtocolError';
}
