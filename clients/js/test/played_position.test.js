import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PlayedPosition } from '../played_position.js';

function makePosition(startMs = 0) {
  const clock = /** @type {any} */ ({ audibleMs: 0, deviceMs: 0 });
  const track = /** @type {any} */ ({ startMs, endMs: 10_000, positionAt: (atMs) => atMs });
  const position = new PlayedPosition(track, clock);
  const reported = [];
  position.onPlayed = (playedMs) => reported.push(playedMs);
  return { clock, position, reported };
}

test('the position is reported about once a second, from the start of the stream', () => {
  const { clock, position, reported } = makePosition(4000);
  for (clock.audibleMs = 4000; clock.audibleMs <= 7000; clock.audibleMs += 300) position.reportIfDue();
  assert.deepEqual(reported, [5200, 6400]);
  position.report();
  assert.deepEqual(reported, [5200, 6400, 7300]);
  position.report();
  assert.equal(reported.length, 3, 'nothing new');
});

test('the position never decreases', () => {
  const { clock, position } = makePosition();
  clock.audibleMs = 500;
  assert.equal(position.ms, 500);
  clock.audibleMs = 400;
  assert.equal(position.ms, 500);
});

test('after a stop it is the device position, at the end the whole stream', () => {
  const { clock, position, reported } = makePosition();
  Object.assign(clock, { audibleMs: 300, deviceMs: 500 });
  position.end('stopped');
  const other = makePosition();
  other.position.end('finished');
  assert.deepEqual([position.ms, reported, other.position.ms, other.reported], [500, [500], 10_000, [10_000]]);
});
