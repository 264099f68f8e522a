import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Heard } from '../heard.js';

function listening(startMs = 0) {
  const clock = /** @type {any} */ ({ heardMs: 0, sentMs: 0 });
  const track = /** @type {any} */ ({ startMs, endMs: 10_000, at: (atMs) => atMs });
  const heard = new Heard(track, clock);
  const told = [];
  heard.onPlayed = (playedMs) => told.push(playedMs);
  return { clock, heard, told };
}

test('it is told about once a second, from where the stream begins', () => {
  const { clock, heard, told } = listening(4000);
  for (clock.heardMs = 4000; clock.heardMs <= 7000; clock.heardMs += 300) heard.tellInTime();
  assert.deepEqual(told, [5200, 6400]);
  heard.tell();
  assert.deepEqual(told, [5200, 6400, 7300]);
  heard.tell();
  assert.equal(told.length, 3, 'nothing new');
});

test('it never goes back', () => {
  const { clock, heard } = listening();
  clock.heardMs = 500;
  assert.equal(heard.ms, 500);
  clock.heardMs = 400;
  assert.equal(heard.ms, 500);
});

test('behind a stop counts what was sent, behind the end all', () => {
  const { clock, heard, told } = listening();
  Object.assign(clock, { heardMs: 300, sentMs: 500 });
  heard.end('stopped');
  const other = listening();
  other.heard.end('finished');
  assert.deepEqual([heard.ms, told, other.heard.ms, other.told], [500, [500], 10_000, [10_000]]);
});
