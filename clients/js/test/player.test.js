import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Player } from '../player.js';

class PaperSink {
  timeS = 100;
  /** @type {{atS: number, samples: Float32Array}[]} */ scheduled = [];
  silenced = 0;
  nowS = () => this.timeS;
  schedule = (samples, atS) => this.scheduled.push({ atS, samples });
  silence = () => this.silenced++;
}

const FRAME = new Int16Array(1920).fill(16384);
const near = (actual, expected) => assert.ok(Math.abs(actual - expected) < 1e-6, `${actual} is not ${expected}`);

test('frames follow each other without a gap, however they come', () => {
  const sink = new PaperSink();
  const player = new Player(sink, { jitterMs: 100 });
  for (const atS of [100, 100.01, 100.2]) {
    sink.timeS = atS;
    player.play(FRAME);
  }
  sink.scheduled.forEach(({ atS }, n) => near(atS, 100.1 + n * 0.08));
  assert.equal(sink.scheduled[0].samples[0], 0.5);
});

test('after a gap the next frame waits for a little lead again', () => {
  const sink = new PaperSink();
  const player = new Player(sink, { jitterMs: 100 });
  player.play(FRAME);
  sink.timeS = 105;
  player.play(FRAME);
  near(sink.scheduled[1].atS, 105.1);
  near(player.playedMs, 80);
  sink.timeS = 105.14;
  near(player.playedMs, 120);
});

test('lead and what was heard add up to what came', () => {
  const sink = new PaperSink();
  const player = new Player(sink, { jitterMs: 0 });
  for (let n = 0; n < 10; n++) player.play(FRAME);
  assert.deepEqual([Math.round(player.leadMs), Math.round(player.playedMs)], [800, 0]);
  sink.timeS += 0.3;
  assert.deepEqual([Math.round(player.leadMs), Math.round(player.playedMs)], [500, 300]);
  sink.timeS += 5;
  assert.deepEqual([player.leadMs, Math.round(player.playedMs)], [0, 800]);
});

test('what was heard is told about once a second while frames come', () => {
  const sink = new PaperSink();
  const told = [];
  const player = new Player(sink, { jitterMs: 100, onPlayed: (playedMs) => told.push(Math.round(playedMs)) });
  for (let n = 0; n < 40; n++, sink.timeS += 0.08) player.play(FRAME);
  assert.deepEqual(told, [1020, 2060]);
});

test('stop is silent at once and keeps what was heard', () => {
  const sink = new PaperSink();
  const player = new Player(sink, { jitterMs: 0 });
  for (let n = 0; n < 10; n++) player.play(FRAME);
  sink.timeS += 0.2;
  player.stop();
  assert.equal(sink.silenced, 1);
  assert.deepEqual([player.leadMs, Math.round(player.playedMs)], [0, 200]);
  player.play(FRAME);
  near(sink.scheduled.at(-1).atS, sink.timeS);
});
