import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AudioClock } from '../audio_clock.js';

const clock = (audio) => new AudioClock({ currentTime: 10, state: 'running', getOutputTimestamp: () => ({}), ...audio });
const near = (actual, expected) => assert.ok(Math.abs(actual - expected) < 50, `${actual} is not ${expected}`);

test('what is heard is what the device says, carried on', () => {
  const performanceTime = performance.now() - 200;
  near(clock({ getOutputTimestamp: () => ({ contextTime: 9.5, performanceTime }) }).heardMs, 9700);
});

test('where the device says nothing its latency counts', () => {
  assert.equal(clock({ outputLatency: 0.25 }).heardMs, 9750);
  assert.equal(clock({}).heardMs, 10_000);
});

test('where the clock stands nothing is carried on', () => {
  const stopped = { state: 'suspended', getOutputTimestamp: () => ({ contextTime: 9.9, performanceTime: 0 }) };
  assert.equal(clock({ outputLatency: 0.04, ...stopped }).heardMs, 9960);
});

test('nothing is heard that was not sent, nor long after', () => {
  const told = (contextTime) => clock({ getOutputTimestamp: () => ({ contextTime, performanceTime: performance.now() }) }).heardMs;
  assert.deepEqual([told(12), told(3)], [10_000, 9000]);
  assert.equal(clock({}).sentMs, 10_000);
});

test('later is later', async () => {
  let late = false;
  await new Promise((next) => {
    clock({}).later(() => next((late = true)), 1);
    assert.equal(late, false);
  });
});
