/** How a session begins and ends, on a real socket: each way has its own kind of error, which says what to do. */

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { ConnectionLost, ProtocolError, Refused, connect } from '../sayline.js';
import { ScriptedServer } from './scripted_server.js';

/** @type {ScriptedServer} */ let scripted;

beforeEach(async () => {
  scripted = await new ScriptedServer().start();
});
afterEach(() => scripted.stop());

const complaint = (more) => ({ type: 'error', code: 'full', message: 'no more sessions', final: true, ...more });

async function refusal() {
  try {
    await connect(scripted.url);
  } catch (error) {
    assert.ok(error instanceof Refused, String(error));
    return error;
  }
  throw new Error('it was not refused');
}

test('a server that takes no session says why, and when to come back', async () => {
  scripted.greeting = complaint({ retry_after_ms: 1500 });
  const refused = await refusal();
  assert.match(refused.message, /refused the session: no more sessions$/);
  assert.equal(refused.retryAfterMs, 1500);
  scripted.greeting = complaint();
  assert.equal((await refusal()).retryAfterMs, undefined);
});

test('a server that closes at once is told with its reason, or its code', async () => {
  scripted.closeWith = [1013, 'come back later'];
  assert.match((await refusal()).message, /closed the session at once \(come back later\): try again$/);
  scripted.closeWith = [1013, ''];
  assert.match((await refusal()).message, /\(close code 1013\)/);
});

test('no server says how to start one', async () => {
  scripted.stop();
  assert.match((await refusal()).message, /no session with .*sayline serve/);
});

test('who greets with something else is no Sayline server', async () => {
  scripted.greeting = { type: 'done', context_id: 'a', seq: 0, duration_ms: 0 };
  await assert.rejects(connect(scripted.url), (error) => error instanceof ProtocolError && /said done instead of ready/.test(error.message));
});

async function ended(server) {
  const why = await server.closed;
  assert.ok(why instanceof ConnectionLost);
  return why;
}

test('a session that the server ends is told with what the server complained of', async () => {
  for (const [more, retryAfterMs] of [[{ retry_after_ms: 100 }, 100], [{}, undefined]]) {
    const server = await connect(scripted.url);
    scripted.tell(complaint(more));
    scripted.close(1013, 'bye');
    const why = await ended(server);
    assert.match(why.message, /was lost \(no more sessions\): connect again$/);
    assert.deepEqual([why.closeCode, why.retryAfterMs], [1013, retryAfterMs]);
  }
});

test('without a complaint its reason is told, or its code', async () => {
  for (const [reason, told] of [['idle', /\(idle\): connect again$/], ['', /\(close code 4000\): connect again$/]]) {
    const server = await connect(scripted.url);
    scripted.close(4000, reason);
    assert.match((await ended(server)).message, told);
  }
});

test('what concerns no context of ours harms none', async () => {
  const server = await connect(scripted.url);
  scripted.tell(complaint({ final: false }));
  scripted.tell({ type: 'done', context_id: 'of-nobody', seq: 0, duration_ms: 0 });
  scripted.tell({ type: 'error', code: 'unknown_context', message: 'who?', final: false, context_id: 'of-nobody' });
  let frames = 0;
  for await (const _ of server.context().say('one two')) frames++;
  assert.equal(frames, 2);
  server.close();
});
