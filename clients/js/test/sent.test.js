import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProtocolError } from '../errors.js';
import { Sent } from '../sent.js';

const text = (characters) => ({ type: 'text', context_id: 'a', text: characters });
const START = { type: 'start', context_id: 'a' };
const FLUSH = { type: 'flush', context_id: 'a' };

function sent(...messages) {
  const all = new Sent();
  for (const message of messages) all.add(message);
  return all;
}

test('what the server did not take is said again in order', () => {
  const said = sent(START, text('one '), { type: 'ack', context_id: 'a', played_ms: 80 }, FLUSH, text('two'));
  assert.equal(said.count, 4);
  assert.deepEqual(said.after(2), [FLUSH, text('two')]);
  assert.deepEqual(said.after(4), []);
});

test('text that was spoken is forgotten', () => {
  const said = sent(START, text('One 🙂. '), text('Two'), text(' three. '), FLUSH);
  said.spoken(17);
  assert.equal(said.unspokenChars, 1);
  assert.deepEqual(said.after(3), [text(' three. '), FLUSH]);
  said.spoken(4);
  assert.equal(said.unspokenChars, 1);
  assert.throws(() => said.after(1), ProtocolError);
});

test('a server cannot have taken more than was said', () => {
  assert.throws(() => sent(START).after(2), /which cannot be/);
});
