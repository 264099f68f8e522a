/** What can go wrong for someone who uses this client. Every message says what happened and what to do about it. */

/** The root of all errors of this package. */
export class SaylineError extends Error {
  name = 'SaylineError';
}

/** The session ended, or never began. */
export class ConnectionLost extends SaylineError {
  name = 'ConnectionLost';
}

/** The server gave up one context; the session and its other contexts go on. `code` is for programs. */
export class ContextFailed extends SaylineError {
  name = 'ContextFailed';

  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** The server sent something that is not a Sayline message. */
export class ProtocolError extends SaylineError {
  name = 'ProtocolError';
}
