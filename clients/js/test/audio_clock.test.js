import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AudioClock } from '../audio_clock.js';

const clock = (audio) => new AudioClock({ currentTime: 10, state: 'running', getOutputTimestamp: () => ({}), ...audio });
const near = (actual, expected) => assert.ok(Math.abs(actual - expected) < 50, `${actual} is not ${expected}`);

test('the audible time is the device\'s timestamp, extrapolated', () => {
  const performanceTime = performance.now() - 200;
  near(clock({ getOutputTimestamp: () => ({ contextTime: 9.5, performanceTime }) }).audibleMs, 9700);
});

test('without a device timestamp the output latency is subtracted', () => {
  assert.equal(clock({ outputLatency: 0.25 }).audibleMs, 9750);
  assert.equal(clock({}).audibleMs, 10_000);
});

test('a suspended clock is not extrapolated', () => {
  const stopped = { state: 'suspended', getOutputTimestamp: () => ({ contextTime: 9.9, performanceTime: 0 }) };
  assert.equal(clock({ outputLatency: 0.04, ...stopped }).audibleMs, 9960);
});

test('the audible time lies within a second before the current time', () => {
  const audibleAt = (contextTime) => clock({ getOutputTimestamp: () => ({ contextTime, performanceTime: performance.now() }) }).audibleMs;
  assert.deepEqual([audibleAt(12), audibleAt(3)], [10_000, 9000]);
  assert.equal(clock({}).deviceMs, 10_000);
});

test('setTimer defers its task', async () => {
  let late = false;
  await new Promise((next) => {
    clock({}).setTimer(() => next((late = true)), 1);
    assert.equal(late, false);
  });
});
