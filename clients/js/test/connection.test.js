/** How sessions open and close, on a real socket; every failure has its own error with advice. */

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { ConnectionLost, ProtocolError, Refused, connect } from '../sayline.js';
import { ScriptedServer } from './scripted_server.js';

/** @type {ScriptedServer} */ let scripted;

beforeEach(async () => {
  scripted = await new ScriptedServer().start();
});
afterEach(() => scripted.stop());

const sessionError = (fields) => ({ type: 'error', code: 'full', message: 'no more sessions', final: true, ...fields });

async function refusal() {
  try {
    await connect(scripted.url);
  } catch (error) {
    assert.ok(error instanceof Refused, String(error));
    return error;
  }
  throw new Error('it was not refused');
}

test('a refused session has the server\'s message and retry time', async () => {
  scripted.greeting = sessionError({ retry_after_ms: 1500 });
  const refused = await refusal();
  assert.match(refused.message, /refused the session: no more sessions$/);
  assert.equal(refused.retryAfterMs, 1500);
  scripted.greeting = sessionError();
  assert.equal((await refusal()).retryAfterMs, undefined);
});

test('a server that closes immediately is reported with its reason or close code', async () => {
  scripted.closeWith = [1013, 'come back later'];
  assert.match((await refusal()).message, /closed the session at once \(come back later\): try again$/);
  scripted.closeWith = [1013, ''];
  assert.match((await refusal()).message, /\(close code 1013\)/);
});

test('an unreachable server is reported with a hint how to start one', async () => {
  scripted.stop();
  assert.match((await refusal()).message, /no session with .*sayline serve/);
});

test('a first message other than ready is a protocol error', async () => {
  scripted.greeting = { type: 'done', context_id: 'a', seq: 0, duration_ms: 0 };
  await assert.rejects(connect(scripted.url), (error) => error instanceof ProtocolError && /sent done instead of ready/.test(error.message));
});

async function closedWith(server) {
  const why = await server.closed;
  assert.ok(why instanceof ConnectionLost);
  return why;
}

test('a session closed by the server is reported with the server\'s last error', async () => {
  for (const [fields, retryAfterMs] of [[{ retry_after_ms: 100 }, 100], [{}, undefined]]) {
    const server = await connect(scripted.url);
    scripted.send(sessionError(fields));
    scripted.close(1013, 'bye');
    const why = await closedWith(server);
    assert.match(why.message, /was lost \(no more sessions\): connect again$/);
    assert.deepEqual([why.closeCode, why.retryAfterMs], [1013, retryAfterMs]);
  }
});

test('a session closed without an error is reported with its reason or close code', async () => {
  for (const [reason, expected] of [['idle', /\(idle\): connect again$/], ['', /\(close code 4000\): connect again$/]]) {
    const server = await connect(scripted.url);
    scripted.close(4000, reason);
    assert.match((await closedWith(server)).message, expected);
  }
});

test('errors without a context and messages for unknown contexts are ignored', async () => {
  const server = await connect(scripted.url);
  scripted.send(sessionError({ final: false }));
  scripted.send({ type: 'done', context_id: 'unknown', seq: 0, duration_ms: 0 });
  scripted.send({ type: 'error', code: 'unknown_context', message: 'who?', final: false, context_id: 'unknown' });
  let frames = 0;
  for await (const _ of server.context().say('one two')) frames++;
  assert.equal(frames, 2);
  server.close();
});
