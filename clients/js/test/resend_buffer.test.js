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
