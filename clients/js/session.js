/** A session: any number of contexts over one connection, which is replaced when it is lost. */

import { delaysMs } from './backoff.js';
import { Context } from './context.js';
import { ConnectionLost, NotRecovered, ProtocolError, Refused } from './errors.js';

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./wire.js').ReadyMessage} Ready */
/** @typedef {import('./wire.js').ServerMessage} ServerMessage */
/**
 * Options of a context; omitted ones are left to the server. `mode` 'verbatim' speaks each `push` as one phrase;
 * otherwise the server finds the sentences, and an incomplete one waits at most `maxDelayMs` for its rest. `cleanUp`
 * verbalizes numbers, dates, links and Markdown in `language`. `lookaheadWords`, such as 2: speak a sentence while it is
 * being written, with at least so many words ahead of the voice; 0: whole clauses. `wait`: queue up if the server is full (`queued` reports
 * the position), or fail at once with `Full`. `traceparent`: the W3C trace that the server's spans belong to.
 * @typedef {{voice?: string, format?: 'pcm' | 'opus', mode?: 'managed' | 'verbatim', cleanUp?: boolean,
 *   language?: string, speed?: number, seed?: number, temperature?: number, decodeSteps?: number, maxDelayMs?: number,
 *   maxLeadMs?: number, lookaheadWords?: number, wait?: boolean, cache?: boolean, traceparent?: string}} Wish
 */

const ANSWER_TIMEOUT_MS = 10_000;

/** Created by `connect`. */
export class Session {
  /** @type {Ready} */
  ready;
  /** Resolves with the reason when the session is over. @type {Promise<ConnectionLost | ProtocolError>} */
  closed;
  /** Called with 'lost' when the connection broke and is being replaced, with 'back' when it has been. */
  onConnection = (/** @type {'lost' | 'back'} */ _state) => {};

  #url;
  #connect;
  /** Null while there is no connection. @type {Connection | null} */
  #connection = null;
  /** @type {Map<string, Context>} */
  #contexts = new Map();
  #count = 0;
  /** The reason why the session is over. @type {Error | null} */
  #loss = null;
  /** @type {(cause: any) => void} */
  #settle;

  /** @param {string} url @param {import('./voices.js').Voices} voices @param {(sessionId?: string) => Promise<Connection>} connect */
  constructor(url, voices, connect) {
    this.#url = url;
    this.voices = voices;
    this.#connect = connect;
    this.closed = new Promise((over) => (this.#settle = over));
  }

  /** Open the first connection. Throws `Refused` if there is no session to be had. */
  async open() {
    const connection = await this.#connect();
    this.ready = await connection.ready;
    this.#attach(connection);
  }

  /**
   * Start a context: one stream of speech.
   * @param {Wish} [wish]
   */
  context({ format = 'pcm', cleanUp, decodeSteps, maxDelayMs, maxLeadMs, lookaheadWords, ...rest } = {}) {
    if (this.#loss) throw this.#loss;
    const context_id = `speech-${++this.#count}`;
    const context = new Context(context_id, format, this.ready, (message) => this.#send(message));
    this.#contexts.set(context_id, context);
    const renamed = {
      clean_up: cleanUp, decode_steps: decodeSteps, max_delay_ms: maxDelayMs, max_lead_ms: maxLeadMs,
      lookahead_words: lookaheadWords,
    };
    this.#send({ type: 'start', context_id, format, ...rest, ...renamed });
    return context;
  }

  close() {
    const cause = new ConnectionLost(`the session with ${this.#url} was closed by this client: connect again`);
    this.#end(cause);
    this.#connection?.close(cause);
  }

  /** Send a message now, or after the reconnection. @param {import('./wire.js').ContextMessage} message */
  #send(message) {
    // A context that is over sends nothing.
    const context = /** @type {Context} */ (this.#contexts.get(message.context_id));
    context.recordSent(message);
    this.#connection?.send(message);
  }

  /** @param {Connection} connection */
  #attach(connection) {
    this.#connection = connection;
    connection.onMessage = (message) => this.#receive(message);
    connection.onLoss = (error) => this.#reconnect(error);
  }

  /** @param {ServerMessage} message */
  #receive(message) {
    const { context_id } = /** @type {import('./wire.js').ContextEvent} */ (message);
    const context = this.#contexts.get(context_id ?? '');
    if (!context) return;
    context.receive(/** @type {import('./wire.js').ContextEvent} */ (message));
    if (context.over) this.#contexts.delete(context.contextId);
  }

  /**
   * Replace a lost connection. If the server closed it with a code, the session is over.
   * @param {any} loss
   */
  async #reconnect(loss) {
    if (this.#loss) return;
    this.#connection = null;
    if (!(loss instanceof ConnectionLost) || loss.closeCode !== undefined || !this.ready.resume_s) {
      this.#end(loss instanceof ConnectionLost ? new ConnectionLost(`${loss.message}: connect again`, loss) : loss);
      return;
    }
    this.onConnection('lost');
    const endAtMs = performance.now() + this.ready.resume_s * 1000;
    let cause = loss;
    for (const delayMs of delaysMs()) {
      const retryAfterMs = (cause instanceof Refused && cause.retryAfterMs) || 0;
      const waitMs = Math.min(delayMs + retryAfterMs, Math.max(0, endAtMs - performance.now()));
      await new Promise((next) => setTimeout(next, waitMs));
      if (this.#loss) return;
      try {
        await this.#resume();
        return;
      } catch (error) {
        cause = /** @type {any} */ (error);
      }
      if (cause instanceof ProtocolError || performance.now() > endAtMs) break;
    }
    const failed = `could not be replaced within ${this.ready.resume_s} s (${cause.message})`;
    const lost = new ConnectionLost(`${loss.message} and ${failed}: connect again`);
    this.#end(cause instanceof ProtocolError ? cause : lost);
  }

  async #resume() {
    const connection = await this.#connect(this.ready.session_id); // by which a load balancer finds its server
    const ready = await connection.ready;
    const lastSeqs = new Map([...this.#contexts].map(([id, context]) => [id, context.lastSeq]));
    const onTimeout = () => connection.close(new ConnectionLost(`no answer from ${this.#url}: is it overloaded?`));
    const timer = setTimeout(onTimeout, ANSWER_TIMEOUT_MS);
    const answered = new Promise((fulfil, reject) => {
      connection.onLoss = reject;
      // Synchronously: the next message may arrive in the same task.
      connection.onMessage = (answer) => fulfil(this.#finishResume(answer, ready, lastSeqs.keys(), connection));
    });
    connection.send({ type: 'resume', token: this.ready.token, contexts: Object.fromEntries(lastSeqs) });
    await answered.finally(() => clearTimeout(timer));
  }

  /** @param {ServerMessage} answer @param {Ready} ready @param {Iterable<string>} ids @param {Connection} connection */
  #finishResume(answer, ready, ids, connection) {
    if (this.#loss) throw this.#loss;
    if (answer.type === 'error') throw new Refused(answer.message);
    if (answer.type !== 'resumed') throw new ProtocolError(`${this.#url} sent ${answer.type} instead of resumed`);
    const lost = new Set(answer.recovered ? [] : ids);
    if (!answer.recovered) {
      const canContinue = answer.can_continue && isSameAudio(ready, this.ready);
      this.ready = ready;
      const error = new NotRecovered(`reconnected to ${this.#url}, but the session is lost: ${answer.message}`);
      if (!canContinue) for (const id of lost) this.#failContext(id, error);
    }
    for (const [id, context] of this.#contexts) {
      const taken = answer.contexts[id] ?? 0;
      const messages = lost.has(id) ? context.restart() : context.resendBuffer.messagesAfter(taken);
      for (const message of messages) connection.send(message);
    }
    this.#attach(connection);
    this.onConnection('back');
  }

  /** @param {any} loss */
  #end(loss) {
    if (this.#loss) return;
    this.#loss = loss;
    for (const id of this.#contexts.keys()) this.#failContext(id, loss);
    this.#settle(loss);
  }

  /** @param {string} id @param {Error} error */
  #failContext(id, error) {
    const context = this.#contexts.get(id);
    this.#contexts.delete(id);
    context?.onConnectionLost(error);
  }
}

/** @param {Ready} one @param {Ready} other */
function isSameAudio(one, other) {
  return one.sample_rate_hz === other.sample_rate_hz && one.frame_ms === other.frame_ms;
}
