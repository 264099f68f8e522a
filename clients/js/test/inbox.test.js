import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SlowConsumer } from '../errors.js';
import { Inbox } from '../inbox.js';

const inbox = (frame_ms = 80) => new Inbox('a', 'pcm', /** @type {any} */ ({ sample_rate_hz: 24_000, opus_pre_skip: 156, frame_ms }));
const audio = (seq) => ({ type: 'audio', context_id: 'a', seq, start_sample: seq * 1920, data: new Uint8Array(2) });
const word = (seq) => ({ type: 'word', context_id: 'a', seq, text: 'a', start_char: 0, end_char: 1, start_ms: 0, end_ms: 80, estimated: true });

test('events received again after a reconnection are dropped', async () => {
  const box = inbox();
  assert.deepEqual([0, 1, 1, 0, 2].map((seq) => box.receive(audio(seq))), [true, true, false, false, true]);
  box.close();
  const seqs = [];
  for (let event = await box.next(); event; event = await box.next()) seqs.push(event.seq);
  assert.deepEqual(seqs, [0, 1, 2]);
});

test('an error without a sequence number is not a duplicate', () => {
  const box = inbox();
  box.receive(word(0));
  const error = { type: 'error', context_id: 'a', code: 'internal', message: 'a', final: true };
  assert.equal(box.receive(error), true);
  assert.equal(box.receive({ ...error, seq: null }), true);
});

test('an unread inbox overflows with SlowConsumer, after the queued events', async () => {
  const box = inbox(300_000);
  for (let seq = 0; seq < 4; seq++) box.receive(audio(seq));
  for (let seq = 0; seq < 3; seq++) assert.equal((await box.next()).seq, seq);
  await assert.rejects(box.next(), (error) => error instanceof SlowConsumer && /read events faster/.test(error.message));
});

test('nothing is delivered after a failure', async () => {
  const box = inbox();
  box.receive(word(0));
  box.fail(new Error('first'));
  box.fail(new Error('second'));
  box.receive(word(1));
  assert.equal((await box.next()).seq, 0);
  await assert.rejects(box.next(), /first/);
});
