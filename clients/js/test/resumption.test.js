/** Lost connections, on a real socket: the speech continues without a gap or a repeat, or fails with a reason. */

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { ConnectionLost, NotRecovered, ProtocolError, connect } from '../sayline.js';
import { ScriptedServer } from './scripted_server.js';

/** @type {ScriptedServer} */ let scripted;
/** @type {import('../sayline.js').Session} */ let server;

beforeEach(async () => {
  scripted = await new ScriptedServer().start();
});
afterEach(() => {
  server.close();
  scripted.stop();
});

async function all(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}

function checkWhole(events, words) {
  assert.deepEqual(events.map(({ seq }) => seq), events.map((_, n) => n));
  assert.equal(events.filter(({ type }) => type === 'frame').length, words);
  assert.equal(events.at(-1).type, 'done');
}

test('speech continues without a gap or a repeat', async () => {
  server = await connect(scripted.url);
  const states = [];
  server.onConnection = (state) => states.push(state);
  const speech = server.context();
  const other = server.context();
  speech.push('one two hangup three. ');
  speech.push('four hangup five');
  speech.end();
  other.feed('six seven');
  checkWhole(await all(speech), 5);
  checkWhole(await all(other), 2);
  assert.deepEqual(states.slice(0, 2), ['lost', 'back']);
  assert.equal(server.ready.token, 'token-1');
  const [first, ...later] = scripted.paths;
  assert.equal(first, '/v1/stream');
  assert.deepEqual(new Set(later), new Set(['/v1/stream?session=session-1']));
  assert.ok(scripted.received.filter(({ type }) => type === 'resume').every(({ token }) => token === 'token-1'));
});

test('the key is asked for again for each connection', async () => {
  let asked = 0;
  server = await connect(scripted.url, {
    apiKey: async () => {
      scripted.apiKey = `token${++asked}`; // the one before has expired
      return scripted.apiKey;
    },
  });
  const frames = await all(server.context().say('one hangup two'));
  assert.deepEqual([frames.length, asked], [2, 2]);
});

test('a connection for which there is no key is tried again', async () => {
  let asked = 0;
  const apiKey = () => {
    if (++asked === 2) throw new Error('no token now');
    return 'secret';
  };
  scripted.apiKey = 'secret';
  server = await connect(scripted.url, { apiKey });
  const frames = await all(server.context().say('one hangup two'));
  assert.deepEqual([frames.length, asked], [2, 3]);
});

test('text that was lost is sent again', async () => {
  server = await connect(scripted.url);
  const speech = server.context();
  for (const text of ['one two. ', 'three vanish. ', 'four ', 'five']) speech.push(text);
  speech.flush('all');
  speech.end();
  const events = await all(speech);
  checkWhole(events, 6);
  assert.deepEqual(events.filter(({ type }) => type === 'segment').map(({ text }) => text), ['one two.', 'three vanish.', 'four five']);
});

test('messages sent while disconnected arrive after the reconnection', async () => {
  server = await connect(scripted.url);
  const first = server.context();
  const lost = new Promise((next) => (server.onConnection = next));
  scripted.cutConnections();
  assert.equal(await lost, 'lost');
  first.feed('one');
  const second = server.context();
  second.feed('two three');
  const third = server.context();
  third.push('four. ');
  assert.equal((await third.cancel()).unheard_text, ' ');
  checkWhole(await all(first), 1);
  checkWhole(await all(second), 2);
});

test('a session that is not recovered fails with a typed error and accepts new contexts', async () => {
  scripted.forgetsSessions = true;
  server = await connect(scripted.url);
  const speech = server.context();
  speech.push('one two hangup three. ');
  await assert.rejects(all(speech), (error) => error instanceof NotRecovered && /start its contexts anew/.test(error.message));
  assert.throws(() => speech.push('more'), NotRecovered);
  assert.match((await speech.cancel()).unheard_text, /hangup three\. $/);
  checkWhole(await all((() => {
    const next = server.context();
    next.feed('one two');
    return next;
  })()), 2);
  assert.equal(server.ready.session_id, 'session-2');
});

/** A context of which 'exact exact. ' was spoken, and which another server then goes on with. */
async function continued() {
  scripted.forgetsSessions = true;
  scripted.canContinue = true;
  server = await connect(scripted.url);
  const speech = server.context();
  speech.push('exact exact. ');
  const events = [];
  const iterator = speech[Symbol.asyncIterator]();
  while (events.at(-1)?.type !== 'segment') events.push((await iterator.next()).value);
  const back = new Promise((next) => (server.onConnection = (state) => state === 'back' && next(undefined)));
  scripted.cutConnections();
  await back;
  return { speech, events, iterator };
}

test('another server goes on with a session that it does not know', async () => {
  const { speech, events, iterator } = await continued();
  speech.push('🙂 two. ');
  speech.flush('now');
  speech.end();
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) events.push(next.value);
  checkWhole(events, 4);
  assert.deepEqual(events.filter(({ type }) => type === 'frame').map(({ start_ms }) => start_ms), [0, 80, 160, 240]);
  const words = events.filter(({ type }) => type === 'word').map(({ text, start_char }) => [text, start_char]);
  assert.deepEqual(words, [['exact', 0], ['exact.', 6], ['🙂', 13], ['two.', 15]]);
  assert.equal(events.at(-1).duration_ms, 320);
  const [, again] = scripted.received.filter(({ type }) => type === 'start');
  assert.deepEqual(again.progress, { seq: events.findIndex(({ text }) => text === '🙂'), start_sample: 3840, start_char: 12 });
});

test('what was heard is told of all servers', async () => {
  const early = await continued();
  const { heard_chars, heard_text, unheard_text } = await early.speech.cancel(40);
  assert.deepEqual([heard_chars, heard_text, unheard_text], [5, 'exact', ' exact. ']);
  server.close();
  const { speech, iterator } = await continued();
  speech.push('two. three. ');
  while ((await iterator.next()).value.type !== 'segment') continue;
  const later = await speech.cancel(200);
  assert.deepEqual([later.heard_chars, later.heard_text, later.unheard_text], [17, 'exact exact. two.', ' three. ']);
});

test('a context of which nothing was heard begins again', async () => {
  scripted.forgetsSessions = true;
  scripted.canContinue = true;
  server = await connect(scripted.url);
  const speech = server.context();
  speech.push('one');
  const back = new Promise((next) => (server.onConnection = (state) => state === 'back' && next(undefined)));
  scripted.cutConnections();
  await back;
  speech.push(' two. ');
  speech.end();
  checkWhole(await all(speech), 2);
  assert.ok(scripted.received.every(({ progress }) => progress === undefined));
});

test('a server with other audio cannot go on', async () => {
  scripted.forgetsSessions = true;
  scripted.canContinue = true;
  server = await connect(scripted.url);
  const speech = server.context();
  speech.push('one two. ');
  scripted.readyFields = { sample_rate_hz: 16_000 };
  scripted.cutConnections();
  await assert.rejects(all(speech), NotRecovered);
});

test('without resumption a lost connection ends the session', async () => {
  scripted.resumeS = 0;
  server = await connect(scripted.url);
  const speech = server.context();
  await assert.rejects(all(speech.say('one two hangup three')), (error) => error instanceof ConnectionLost && /was lost/.test(error.message));
  assert.throws(() => server.context(), ConnectionLost);
  assert.ok((await server.closed) instanceof ConnectionLost);
  assert.equal(scripted.connections, 1);
});

test('closing the session ends it', async () => {
  server = await connect(scripted.url);
  server.close();
  const why = await server.closed;
  assert.match(why.message, /closed by this client/);
  assert.throws(() => server.context(), /closed by this client/);
});

test('a server that does not come back is given up', async () => {
  scripted.resumeS = 0.3;
  server = await connect(scripted.url);
  scripted.closeWith = [1013, 'no more sessions'];
  await assert.rejects(all(server.context().say('one hangup two')), /could not be replaced within 0\.3 s \(.*no more sessions\): try again\): connect again/);
  assert.ok(scripted.connections > 1);
});

test('the wall clock does not decide how long a reconnection is tried', async (t) => {
  server = await connect(scripted.url);
  const now = Date.now;
  let shiftMs = 0;
  t.mock.method(Date, 'now', () => now() + shiftMs);
  scripted.closeWith = [1013, 'no more sessions'];
  const back = new Promise((next) => {
    server.onConnection = (state) => {
      if (state === 'back') next('back');
      setTimeout(() => (shiftMs = 3_600_000), 20); // the clock is set while the connection is being replaced
      setTimeout(() => (scripted.closeWith = null), 300);
    };
  });
  scripted.cutConnections();
  assert.equal(await Promise.race([back, server.closed]), 'back');
});

test('a server that claims messages that were never sent is a protocol error', async () => {
  server = await connect(scripted.url);
  const speech = server.context();
  speech.push('one two. ');
  for await (const event of speech) {
    if (event.type !== 'segment') continue;
    speech.resendBuffer.messagesAfter = () => { throw new ProtocolError('which cannot be'); };
    scripted.cutConnections();
    break;
  }
  assert.ok((await server.closed) instanceof ProtocolError);
});

test('closing while reconnecting ends the session', async () => {
  server = await connect(scripted.url);
  server.onConnection = () => server.close();
  scripted.cutConnections();
  assert.match((await server.closed).message, /closed by this client/);
});

test('closing while resuming ends the session', async () => {
  server = await connect(scripted.url);
  scripted.onResume = () => server.close();
  scripted.cutConnections();
  assert.match((await server.closed).message, /closed by this client/);
});

test('a context started while resuming is spoken', async () => {
  server = await connect(scripted.url);
  const started = new Promise((next) => {
    scripted.onResume = () => {
      const speech = server.context();
      speech.feed('one two');
      next(all(speech));
    };
  });
  scripted.cutConnections();
  checkWhole(await started, 2);
});

test('a refused resumption is retried when the server says', async () => {
  server = await connect(scripted.url);
  scripted.resumeAnswers = [{ type: 'error', code: 'full', message: 'not now', final: true, retry_after_ms: 1 }];
  const back = new Promise((next) => (server.onConnection = (state) => state === 'back' && next(undefined)));
  scripted.cutConnections();
  await back;
  assert.equal(scripted.connections, 3);
});

test('an unexpected answer to a resumption is a protocol error', async () => {
  server = await connect(scripted.url);
  scripted.resumeAnswers = [{ type: 'ready-made' }];
  scripted.cutConnections();
  const why = await server.closed;
  assert.ok(why instanceof ProtocolError);
  assert.match(why.message, /sent unknown instead of resumed/);
});
