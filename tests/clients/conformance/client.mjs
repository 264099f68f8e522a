/** The JavaScript client, told what to do line by line: JSON comes on standard input, what came of it goes out. */

import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { connect } from '../../../clients/js/sayline.js';
import { decode } from '../../../clients/js/wire.js';

Math.random = () => 0; // who tries again does so at once

let session;
const contexts = new Map();
const writings = new Map();

class TextBroke extends Error {
  name = 'TextBroke';
}

/** A text that is written when we say so. */
class Writing {
  #close;
  closed = new Promise((close) => (this.#close = close));
  #pieces = [];
  #wake = () => {};

  put(piece) {
    this.#pieces.push(piece);
    this.#wake();
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        while (!this.#pieces.length) await new Promise((wake) => (this.#wake = () => wake(undefined)));
        const piece = this.#pieces.shift();
        if (piece === null) return;
        if (piece instanceof Error) throw piece;
        yield piece;
      }
    } finally {
      this.#close();
    }
  }
}

const client = {
  async connect({ url, api_key }) {
    contexts.clear();
    session = await connect(url, { apiKey: api_key });
  },
  close() {
    session?.close();
    session = null;
  },
  ready: () => ({ ready: session.ready }),
  /** What each frame is: the type of its message, or why it is none. */
  decode: (frames) => ({ verdicts: frames.map(verdict) }),
};

const context = {
  start(name, wish) {
    const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
    const renamed = Object.entries(wish ?? {}).map(([name, value]) => [camel(name), value]);
    const speech = session.context(Object.fromEntries(renamed));
    contexts.set(name, { speech, events: speech[Symbol.asyncIterator]() });
  },
  push: (name, text) => contexts.get(name).speech.push(text),
  flush: (name, id) => contexts.get(name).speech.flush(id ?? undefined),
  end: (name) => contexts.get(name).speech.end(),
  ack: (name, playedMs) => contexts.get(name).speech.ack(playedMs),
  cancel: async (name, playedMs) => ({ events: [await contexts.get(name).speech.cancel(playedMs ?? undefined)] }),
  async leave(name) {
    await contexts.get(name).events.return();
  },
  feed(name, text) {
    writings.set(name, new Writing());
    contexts.get(name).speech.feed(text ?? writings.get(name));
  },
  write: (name, text) => writings.get(name).put(text),
  written: (name) => writings.get(name).put(null),
  break: (name) => writings.get(name).put(new TextBroke('the text broke')),
  stops_writing: (name) => writings.get(name).closed,
  async say(name, text) {
    const events = [];
    for await (const frame of contexts.get(name).speech.say(text)) events.push(reportEvent(frame));
    return { events };
  },
  async read(name, count) {
    const events = [];
    try {
      while (count === null || events.length < count) {
        const { value, done } = await contexts.get(name).events.next();
        if (done) break;
        events.push(reportEvent(value));
      }
    } catch (error) {
      return { events, error: reportError(error) };
    }
    return { events };
  },
  look(name) {
    const { place, durationMs } = contexts.get(name).speech;
    return { told: `place ${place ?? 'none'}, ${durationMs} ms` };
  },
};

function verdict({ text, bytes }) {
  try {
    return decode(text ?? Uint8Array.from(Buffer.from(bytes, 'hex')).buffer).type;
  } catch (error) {
    return error.name;
  }
}

function reportEvent(event) {
  if (event.type !== 'frame') return event;
  const { type, seq, start_ms } = event;
  const data = event.format === 'pcm' ? Buffer.from(event.pcm.buffer) : event.data;
  return { type, seq, start_ms, sha1: createHash('sha1').update(data).digest('hex') };
}

function reportError(error) {
  if (error.name === 'Error') throw error; // not one that anybody should meet
  const { name, message, code, closeCode, retryAfterMs } = error;
  return { kind: name, message, code, close_code: closeCode, retry_after_ms: retryAfterMs };
}

async function act({ actor, verb, content }) {
  try {
    return (await (actor === 'client' ? client[verb](content) : context[verb](actor, content))) ?? null;
  } catch (error) {
    return { error: reportError(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, ...step } = JSON.parse(line);
  act(step).then((answer) => console.log(JSON.stringify({ id, answer })));
}
process.exit();
