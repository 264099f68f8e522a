import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProtocolError } from '../errors.js';
import { ResendBuffer } from '../resend_buffer.js';

const text = (characters) => ({ type: 'text', context_id: 'a', text: characters });
const START = { type: 'start', context_id: 'a' };
const FLUSH = { type: 'flush', context_id: 'a' };

function bufferWith(...messages) {
  const all = new ResendBuffer();
  for (const message of messages) all.add(message);
  return all;
}

test('messages that the server did not receive are returned in order', () => {
  const buffer = bufferWith(START, text('one '), { type: 'ack', context_id: 'a', played_ms: 80 }, FLUSH, text('two'));
  assert.equal(buffer.count, 4);
  assert.deepEqual(buffer.messagesAfter(2), [FLUSH, text('two')]);
  assert.deepEqual(buffer.messagesAfter(4), []);
});

test('messages before spoken text are dropped', () => {
  const buffer = bufferWith(START, text('One 🙂. '), text('Two'), text(' three. '), FLUSH);
  buffer.markSpoken(17);
  assert.equal(buffer.pendingChars, 1);
  assert.deepEqual(buffer.messagesAfter(3), [text(' three. '), FLUSH]);
  buffer.markSpoken(4);
  assert.equal(buffer.pendingChars, 1);
  assert.throws(() => buffer.messagesAfter(1), ProtocolError);
});

test('a server cannot have received more than was sent', () => {
  assert.throws(() => bufferWith(START).messagesAfter(2), /which is impossible/);
});

test('another server is sent what has not been spoken, and no flush that was answered', () => {
  const flush = (id) => ({ ...FLUSH, id });
  const END = { type: 'end', context_id: 'a' };
  const messages = [START, text('One. '), flush('1'), text('🙂 o '), flush('2'), text('three.'), END];
  const buffer = bufferWith(...messages);
  buffer.markSpoken(4);
  buffer.markFlushed();
  const again = { ...START, progress: { seq: 9, start_sample: 1920, start_char: 6 } };
  assert.deepEqual(buffer.restart(again, 6), [again, text(' o '), flush('2'), text('three.'), END]);
  assert.equal(buffer.count, 5);
  assert.equal(buffer.pendingChars, 9);
  assert.deepEqual(buffer.messagesAfter(4), [END]);
  buffer.markFlushed();
  assert.deepEqual(buffer.restart(START, 9), [START, text('three.'), END]);
});

test('another server is sent everything if nothing was spoken', () => {
  const CANCEL = { type: 'cancel', context_id: 'a', played_ms: 0 };
  assert.deepEqual(bufferWith(START, text('One.'), CANCEL).restart(START, 0), [START, text('One.'), CANCEL]);
});
