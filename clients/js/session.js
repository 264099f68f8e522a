/** Any number of contexts over one connection to a server, and over the next one when that is lost. */

import { delaysMs } from './backoff.js';
import { Context } from './context.js';
import { ConnectionLost, NotRecovered, ProtocolError, Refused } from './errors.js';

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./wire.js').ReadyMessage} Ready */
/** @typedef {import('./wire.js').ServerMessage} ServerMessage */
/**
 * What is left out is the server's choice. `mode` 'verbatim' speaks each `push` as one phrase; else the server finds the
 * sentences, and half of one waits no longer than `maxDelayMs` for its other half. `cleanUp` says numbers, dates, links
 * and Markdown as a person would, in `language`. `wait`: whether to queue up where the server is full (`queued` tells the
 * place), or to fail at once with `Full`.
 * @typedef {{voice?: string, format?: 'pcm' | 'opus', mode?: 'managed' | 'verbatim', cleanUp?: boolean,
 *   language?: string, speed?: number, seed?: number, temperature?: number, decodeSteps?: number, maxDelayMs?: number,
 *   maxLeadMs?: number, wait?: boolean}} Wish
 */

const ANSWER_MS = 10_000;

/** Made by `connect`. */
export class Session {
  /** @type {Ready} */
  ready;
  /** Fulfilled when the session is over, with why. @type {Promise<ConnectionLost | ProtocolError>} */
  closed;
  /** Told 'lost' when the connection broke and another is looked for, 'back' when there is one. */
  onConnection = (/** @type {'lost' | 'back'} */ _state) => {};

  #url;
  #connect;
  /** Null while there is none. @type {Connection | null} */
  #connection = null;
  /** @type {Map<string, Context>} */
  #contexts = new Map();
  #count = 0;
  /** Why the session is over. @type {Error | null} */
  #loss = null;
  /** @type {(why: any) => void} */
  #settle;

  /** @param {string} url @param {() => Connection} connect */
  constructor(url, connect) {
    this.#url = url;
    this.#connect = connect;
    this.closed = new Promise((over) => (this.#settle = over));
  }

  /** Once, before all else. Throws `Refused` where there is no session to be had. */
  async open() {
    const connection = this.#connect();
    this.ready = await connection.ready;
    this.#goOn(connection);
  }

  /**
   * A stream of speech.
   * @param {Wish} [wish]
   */
  context({ format = 'pcm', cleanUp, decodeSteps, maxDelayMs, maxLeadMs, ...wish } = {}) {
    if (this.#loss) throw this.#loss;
    const context_id = `speech-${++this.#count}`;
    const context = new Context(context_id, format, this.ready, (message) => this.#send(message));
    this.#contexts.set(context_id, context);
    const renamed = { clean_up: cleanUp, decode_steps: decodeSteps, max_delay_ms: maxDelayMs, max_lead_ms: maxLeadMs };
    this.#send({ type: 'start', context_id, format, ...wish, ...renamed });
    return context;
  }

  close() {
    const why = new ConnectionLost(`the session with ${this.#url} was closed here: connect again`);
    this.#end(why);
    this.#connection?.close(why);
  }

  /** Now, or over the next connection. @param {import('./wire.js').ContextMessage} message */
  #send(message) {
    const context = /** @type {Context} */ (this.#contexts.get(message.context_id)); // one that is over says nothing
    context.onSending(message);
    this.#connection?.send(message);
  }

  /** @param {Connection} connection */
  #goOn(connection) {
    this.#connection = connection;
    connection.onMessage = (message) => this.#receive(message);
    connection.onLoss = (error) => this.#recover(error);
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
   * The connection is lost: get another. A server that closes one in an orderly way has ended the session.
   * @param {any} loss
   */
  async #recover(loss) {
    if (this.#loss) return;
    this.#connection = null;
    if (!(loss instanceof ConnectionLost) || loss.closeCode !== undefined || !this.ready.resume_s) {
      this.#end(loss instanceof ConnectionLost ? new ConnectionLost(`${loss.message}: connect again`, loss) : loss);
      return;
    }
    this.onConnection('lost');
    const endAtMs = Date.now() + this.ready.resume_s * 1000;
    let why = loss;
    for (const delayMs of delaysMs()) {
      const askedMs = (why instanceof Refused && why.retryAfterMs) || 0;
      await new Promise((next) => setTimeout(next, Math.min(delayMs + askedMs, Math.max(0, endAtMs - Date.now()))));
      if (this.#loss) return;
      try {
        await this.#resume();
        return;
      } catch (error) {
        why = /** @type {any} */ (error);
      }
      if (why instanceof ProtocolError || Date.now() > endAtMs) break;
    }
    const seconds = `${this.ready.resume_s} s`;
    this.#end(
      why instanceof ProtocolError
        ? why
        : new ConnectionLost(`${loss.message}, and no other came about in ${seconds} (${why.message}): connect again`),
    );
  }

  async #resume() {
    const connection = this.#connect();
    const ready = await connection.ready;
    const begun = new Map([...this.#contexts].map(([id, context]) => [id, context.lastSeq]));
    const silent = () => connection.close(new ConnectionLost(`no answer from ${this.#url}: is it overloaded?`));
    const timer = setTimeout(silent, ANSWER_MS);
    const answered = new Promise((fulfil, reject) => {
      connection.onLoss = reject;
      // At once: what follows the answer may come in the same breath.
      connection.onMessage = (answer) => fulfil(this.#accept(answer, ready, begun.keys(), connection));
    });
    connection.send({ type: 'resume', token: this.ready.token, contexts: Object.fromEntries(begun) });
    await answered.finally(() => clearTimeout(timer));
  }

  /** @param {ServerMessage} answer @param {Ready} ready @param {Iterable<string>} begun @param {Connection} connection */
  #accept(answer, ready, begun, connection) {
    if (this.#loss) throw this.#loss;
    if (answer.type === 'error') throw new Refused(answer.message);
    if (answer.type !== 'resumed') throw new ProtocolError(`${this.#url} said ${answer.type} instead of resumed`);
    if (!answer.recovered) {
      this.ready = ready;
      for (const id of begun) this.#lose(id, new NotRecovered(`${this.#url} is there again, but: ${answer.message}`));
    }
    for (const [id, context] of this.#contexts) {
      for (const message of context.sent.after(answer.contexts[id] ?? 0)) connection.send(message);
    }
    this.#goOn(connection);
    this.onConnection('back');
  }

  /** @param {any} loss */
  #end(loss) {
    if (this.#loss) return;
    this.#loss = loss;
    for (const id of this.#contexts.keys()) this.#lose(id, loss);
    this.#settle(loss);
  }

  /** @param {string} id @param {Error} error */
  #lose(id, error) {
    const context = this.#contexts.get(id);
    this.#contexts.delete(id);
    context?.lose(error);
  }
}
