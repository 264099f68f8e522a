import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delaysMs } from '../backoff.js';

function first(count, random) {
  const delays = [];
  for (const delayMs of delaysMs(random)) if (delays.push(delayMs) === count) return delays;
  return delays;
}

test('each delay\'s limit is twice the previous one, up to four seconds', () => {
  assert.deepEqual(first(8, () => 1), [100, 200, 400, 800, 1600, 3200, 4000, 4000]);
});

test('delays are a random fraction of the limit', () => {
  assert.deepEqual(first(3, () => 0.5), [50, 100, 200]);
  assert.notDeepEqual(first(3), first(3));
});
