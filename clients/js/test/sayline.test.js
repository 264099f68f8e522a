import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import {
  ContextFailed, Full, Limited, ProtocolError, SaylineError, SlowConsumer, UnknownVoice, connect, streamAddress,
} from '../sayline.js';
import { READY, ScriptedServer } from './scripted_server.js';

/** @type {ScriptedServer} */ let scripted;
/** @type {import('../sayline.js').Session[]} */ let sessions;

beforeEach(async () => {
  scripted = await new ScriptedServer().start();
  sessions = [];
});
afterEach(() => {
  for (const session of sessions) session.close();
  scripted.stop();
});

async function open(options) {
  const session = await connect(scripted.url, options);
  sessions.push(session);
  return session;
}

async function* words(...pieces) {
  for (const piece of pieces) yield piece;
}

async function all(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}

test('text goes in and frames come out', async () => {
  const server = await open();
  assert.deepEqual(server.ready, READY);
  const frames = await all(server.context({ voice: 'angus', seed: 7 }).say(words('Hel', 'lo the', 're. ', 'More')));
  assert.deepEqual(frames.map(({ seq, start_ms }) => [seq, start_ms]), [[1, 0], [3, 80], [6, 160]]);
  assert.deepEqual([...frames[1].pcm], [1 - 32768]);
  assert.deepEqual(scripted.received[0], {
    type: 'start', context_id: 'speech-1', voice: 'angus', format: 'pcm', seed: 7,
  });
});

test('a whole text can be one string', async () => {
  const server = await open();
  assert.equal((await all(server.context().say('word '.repeat(3000)))).length, 3000);
  assert.equal(scripted.received.filter(({ type }) => type === 'text').length, 4);
});

test('the exact end of a word is reported and used for the split', async () => {
  const server = await open();
  const speech = server.context();
  speech.feed('an exact word');
  const [, , word, , end] = await all(speech);
  assert.deepEqual([word.type, word.spoken, word.end_ms, word.estimated], ['word', 'exact', 160, false]);
  const place = { start_char: 3, end_char: 8, start_ms: 80, end_ms: 130 };
  assert.deepEqual(end, { type: 'word_end', ...place, context_id: 'speech-1', seq: 4 });
  assert.equal((await speech.cancel(105)).heard_text, 'an exact');
  assert.equal((await speech.cancel(104)).heard_text, 'an');
});

test('events arrive in order and end with done', async () => {
  const server = await open();
  const speech = server.context();
  speech.push('Hello there. ');
  speech.push('More');
  speech.flush('first');
  speech.flush();
  speech.end();
  const events = await all(speech);
  assert.deepEqual(events.map(({ type }) => type), [
    'word', 'frame', 'word', 'frame', 'segment', 'word', 'frame', 'segment', 'flushed', 'flushed', 'done',
  ]);
  const times = { start_char: 0, end_char: 12, start_ms: 0, end_ms: 160 };
  assert.deepEqual(events[4], { type: 'segment', text: 'Hello there.', ...times, context_id: 'speech-1', seq: 4 });
  assert.deepEqual(events.filter(({ type }) => type === 'flushed').map(({ id, at_ms }) => [id, at_ms]), [['first', 240], [undefined, 240]]);
  assert.equal(speech.durationMs, 240);
});

test('several contexts speak in one session', async () => {
  const server = await open();
  const slow = server.context();
  slow.feed('one two three four');
  assert.equal((await all(server.context().say('one two'))).length, 2);
  assert.equal((await all(slow)).length, 10);
});

test('options are sent to the server', async () => {
  const server = await open();
  server.context({
    voice: 'angus', format: 'opus', mode: 'verbatim', cleanUp: false, language: 'de', speed: 1.5, seed: 7,
    temperature: 0.5, decodeSteps: 4, maxDelayMs: 300, maxLeadMs: 2000, lookaheadWords: 2, wait: true,
    lexicons: ['names'], cache: true,
  });
  await all(server.context().say('when this is here, so is that'));
  assert.deepEqual(scripted.received[0], {
    type: 'start', context_id: 'speech-1', voice: 'angus', format: 'opus', mode: 'verbatim', clean_up: false,
    language: 'de', speed: 1.5, seed: 7, temperature: 0.5, decode_steps: 4, max_delay_ms: 300, max_lead_ms: 2000,
    lookahead_words: 2, wait: true, lexicons: ['names'], cache: true,
  });
});

test('cancel drops frames and returns what was heard', async () => {
  const server = await open();
  const speech = server.context();
  speech.push('one two three. ');
  assert.equal((await all(server.context().say('when this is here, so is that'))).length, 7);
  const heard = await speech.cancel(130);
  assert.deepEqual([heard.heard_text, heard.unheard_text, heard.heard_chars], ['one two', ' three. ', 7]);
  assert.deepEqual((await all(speech)).map(({ type }) => type), ['word', 'word', 'word', 'segment', 'cancelled']);
  assert.equal(await speech.cancel(200), heard);
  assert.throws(() => speech.push('more'), /cannot send text: .*; open another context/);
});

test('after the end the heard text is computed from the words', async () => {
  const server = await open();
  const speech = server.context();
  await all(speech.say('one 🙂 two three.'));
  assert.deepEqual(await speech.cancel(210), {
    type: 'cancelled', context_id: 'speech-1', seq: speech.lastSeq, duration_ms: 320, generated_ms: 320,
    heard_chars: 9, heard_text: 'one 🙂 two', unheard_text: ' three.',
  });
  assert.equal((await speech.cancel()).heard_text, 'one 🙂 two three.');
  speech.ack(50);
  assert.equal((await speech.cancel()).heard_text, 'one');
  assert.equal(scripted.received.at(-1).type, 'end');
});

test('leaving the loop cancels the speech and closes the text iterator', async () => {
  const server = await open();
  let closed = false;
  async function* endless() {
    try {
      for (;;) yield await new Promise((next) => setTimeout(next, 1, 'word. '));
    } finally {
      closed = true;
    }
  }
  const speech = server.context();
  for await (const frame of speech.say(endless())) if (frame.start_ms === 80) break;
  await speech.cancel();
  assert.equal(scripted.received.filter(({ type }) => type === 'cancel').length, 1);
  while (!closed) await new Promise((next) => setTimeout(next, 1));
});

test('an ended context rejects text', async () => {
  const speech = (await open()).context();
  assert.throws(() => speech.push(null), TypeError);
  speech.end();
  assert.throws(() => speech.push('more'), SaylineError);
});

test('a failing context delivers its frames first and does not affect others', async () => {
  const server = await open();
  const heard = [];
  const bad = server.context();
  await assert.rejects(async () => {
    for await (const frame of bad.say('one explode two')) heard.push(frame.start_ms);
  }, (error) => error instanceof ContextFailed && error.code === 'internal');
  assert.deepEqual(heard, [0]);
  assert.equal((await all(server.context().say('one two'))).length, 2);
});

test('a queued context reports its position and then the speech', async () => {
  scripted.places = [2, 1];
  const speech = (await open()).context();
  const events = [];
  speech.push('one');
  for await (const event of speech) {
    events.push(event.type);
    if (event.type !== 'queued') assert.equal(speech.place, null);
    else if (event.place === 1) assert.equal(speech.place, 1);
    if (events.length === 2) speech.end();
  }
  assert.deepEqual(events, ['queued', 'queued', 'word', 'frame', 'segment', 'done']);
});

test('without waiting a full server is reported with the retry time', async () => {
  scripted.places = [1];
  const speech = (await open()).context({ wait: false });
  await assert.rejects(all(speech), (error) => error instanceof Full && error.retryAfterMs === 1500);
  assert.equal(scripted.received[0].wait, false);
});

test('acks are sent only while the context is open', async () => {
  const speech = (await open()).context();
  speech.push('one two. ');
  speech.ack(120.5);
  speech.end();
  await all(speech);
  speech.ack(160);
  assert.deepEqual(
    scripted.received.filter(({ type }) => type === 'ack'),
    [{ type: 'ack', context_id: 'speech-1', played_ms: 120.5 }],
  );
});

test('an unknown voice is reported with the known ones', async () => {
  const speech = (await open()).context({ voice: 'nobody' });
  await assert.rejects(all(speech.say('Hello.')), (error) => error instanceof UnknownVoice && /there are: clara, angus/.test(error.message));
});

test('a refused message fails the context instead of leaving a gap', async () => {
  const speech = (await open()).context();
  speech.push('one refuse two. ');
  await assert.rejects(all(speech), (error) => error instanceof Limited && error.code === 'text_limit');
  assert.equal((await speech.cancel()).duration_ms, 160);
});

test('an error of the text iterator is thrown by the events', async () => {
  const speech = (await open()).context();
  async function* broken() {
    yield 'Hello there. ';
    throw new RangeError('broken');
  }
  await assert.rejects(all(speech.say(broken())), RangeError);
});

test('an invalid frame ends the session', async () => {
  const server = await open();
  await assert.rejects(all(server.context().say('one damage two')), ProtocolError);
  assert.ok((await server.closed) instanceof ProtocolError);
});

test('unknown messages of a later server are ignored', async () => {
  const server = await open();
  assert.equal((await all(server.context().say('one later two'))).length, 2);
});

test('opus frames have no PCM samples', async () => {
  const [frame] = await all((await open()).context({ format: 'opus' }).say('one'));
  assert.equal(frame.data.length, 2);
  assert.throws(() => frame.pcm, /format: 'pcm'/);
});

test('an unreachable server, a wrong key and a closing server are each reported', async () => {
  await assert.rejects(connect('ws://127.0.0.1:1'), /sayline serve/);
  scripted.apiKey = 'secret';
  await assert.rejects(connect(scripted.url, { apiKey: 'wrong' }), /API key/);
  assert.equal((await open({ apiKey: 'secret' })).ready.model, 'words');
  scripted.closeWith = [1013, 'come back later'];
  await assert.rejects(connect(scripted.url, { apiKey: 'secret' }), /come back later/);
});

test('a missing WebSocket is reported with advice', async () => {
  await assert.rejects(connect('ws://127.0.0.1:1', { WebSocket: null }), /--experimental-websocket/);
});

test('a stream address is derived from the server\'s or the page\'s URL', () => {
  assert.equal(streamAddress('http://127.0.0.1:8000/'), 'ws://127.0.0.1:8000/v1/stream');
  assert.equal(streamAddress('https://voice.example#top'), 'wss://voice.example/v1/stream');
  assert.equal(streamAddress('wss://voice.example/proxy'), 'wss://voice.example/proxy');
  for (const url of ['', '127.0.0.1:8000', 'ftp://voice.example']) assert.throws(() => streamAddress(url), /use the form/);
});

test('a very long text waits until it is spoken', async () => {
  const speech = (await open()).context();
  speech.feed(`${'w'.repeat(59_999)} `);
  const texts = () => scripted.received.filter(({ type }) => type === 'text').length;
  while (texts() < 13) await new Promise((next) => setTimeout(next, 1));
  await all((await open()).context().say('when this is here, so would be that'));
  assert.equal(texts() - 1, 13, 'more than 50,000 characters are unspoken');
  speech.flush();
  assert.equal((await all(speech)).at(-1).type, 'done');
  assert.equal(texts() - 1, 15);
});

test('an error of a cancelled text is ignored', async () => {
  const speech = (await open()).context();
  let fail;
  async function* aborted() {
    yield 'Hello there. ';
    await new Promise((_, reject) => (fail = reject));
  }
  speech.feed(aborted());
  while (!fail) await new Promise((next) => setTimeout(next, 1));
  const cancelled = speech.cancel(0);
  fail(new Error('aborted'));
  await cancelled;
  assert.equal((await all(speech)).at(-1).type, 'cancelled');
});

test('an error after a cancel is ignored', async () => {
  const speech = (await open()).context();
  speech.push('one. ');
  const cancelled = speech.cancel(0);
  scripted.send({ type: 'error', code: 'text_limit', message: 'too much', final: false, context_id: speech.contextId });
  assert.equal((await cancelled).heard_text, '');
  assert.equal((await all(speech)).at(-1).type, 'cancelled');
});

test('a duplicate event is delivered once', async () => {
  const speech = (await open()).context();
  speech.push('one. ');
  for await (const event of speech) {
    if (event.seq === 2) break;
    if (event.seq === 0) scripted.send({ type: 'flushed', context_id: speech.contextId, seq: 0, at_ms: 0 });
    assert.notEqual(event.type, 'flushed');
  }
  await speech.cancel();
});

test('a slow reader is reported by the server', async () => {
  const speech = (await open()).context();
  scripted.send({ type: 'error', code: 'slow_consumer', message: 'not read', final: true, context_id: speech.contextId });
  await assert.rejects(all(speech), SlowConsumer);
});
