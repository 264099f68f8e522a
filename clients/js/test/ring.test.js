import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MOVES, Ring } from '../ring.js';

const FADE = 8;
const ones = (count) => new Float32Array(count).fill(1);
const steps = (samples) => samples.slice(1).map((sample, n) => Math.abs(sample - samples[n]));
const UP = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1];
const DOWN = [0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0];

function pull(ring, count) {
  const output = ones(count).fill(9);
  ring.pull(output);
  return [...output];
}

function flowing(samples, capacity = 100) {
  const ring = new Ring(capacity, FADE);
  ring.push(samples);
  ring.flow();
  return ring;
}

test('samples come out in order, across the wrap-around', () => {
  const ring = flowing(Float32Array.from({ length: 30 }, (_, n) => n), 32);
  const output = [];
  for (let at = 30; at < 300; at += 10) {
    output.push(...pull(ring, 10));
    ring.push(Float32Array.from({ length: 10 }, (_, n) => at + n));
  }
  assert.deepEqual(output.slice(FADE), Array.from({ length: 270 }, (_, n) => n).slice(FADE));
  assert.equal(ring.samplesRead, 270);
});

test('nothing is read before flow', () => {
  const ring = new Ring(100, FADE);
  ring.push(ones(50));
  assert.deepEqual(pull(ring, 20), Array(20).fill(0));
  assert.deepEqual([ring.samplesRead, ring.state], [0, 'held']);
});

test('running dry fades out, waits, and fades in again', () => {
  const ring = flowing(ones(20));
  const end = pull(ring, 32);
  assert.deepEqual(end.slice(0, 12), [...UP, 1, 1, 1, 1]);
  assert.ok(steps(end).every((step) => step <= 1 / FADE));
  assert.deepEqual([end[19], ring.samplesRead, ring.state], [0, 20, 'held']);
  ring.push(ones(50));
  assert.deepEqual(pull(ring, 4), [0, 0, 0, 0]);
  ring.flow();
  assert.deepEqual(pull(ring, 10), [...UP, 1, 1]);
});

test('samples that arrive during the fade-out raise the gain again', () => {
  const ring = flowing(ones(20));
  const before = pull(ring, 16);
  ring.push(ones(50));
  const after = pull(ring, 20);
  assert.ok(before.at(-1) < 1);
  assert.equal(after.at(-1), 1);
  assert.ok(steps([...before, ...after]).every((step) => step <= 1 / FADE));
});

test('hold fades out and keeps the rest', () => {
  const ring = flowing(ones(50));
  pull(ring, 10);
  ring.hold();
  const end = pull(ring, 20);
  assert.deepEqual(end.slice(0, 9), [...DOWN, 0]);
  assert.deepEqual([ring.samplesRead, ring.state], [18, 'held']);
  ring.flow();
  assert.equal(pull(ring, 10).at(-1), 1);
});

test('flow during a fade-out does not click', () => {
  const ring = flowing(ones(50));
  const before = pull(ring, 10);
  ring.hold();
  before.push(...pull(ring, 4));
  ring.flow();
  const all = [...before, ...pull(ring, 10)];
  assert.equal(ring.samplesRead, 24);
  assert.ok(steps(all).every((step) => step <= 1 / FADE));
});

test('drop fades out and discards the rest', () => {
  for (const first of ['flow', 'hold']) {
    const ring = flowing(ones(50));
    pull(ring, 10);
    ring[first]();
    ring.drop();
    ring.drop();
    assert.equal(ring.state, 'dropping');
    assert.deepEqual(pull(ring, 10), [...DOWN, 0, 0]);
    assert.equal(ring.state, 'over');
    ring.push(ones(10));
    ring.flow();
    assert.deepEqual(pull(ring, 4), [0, 0, 0, 0]);
  }
});

test('dropping a silent ring is silent', () => {
  const ring = new Ring(100, FADE);
  ring.push(ones(10));
  ring.drop();
  assert.equal(ring.state, 'over');
  const late = flowing(ones(10));
  late.drop();
  assert.deepEqual(pull(late, 4), [0, 0, 0, 0]);
  assert.deepEqual([late.state, late.samplesRead], ['over', 0]);
});

test('an ended ring is over after the last sample', () => {
  const ring = flowing(ones(20));
  ring.end();
  pull(ring, 20);
  assert.equal(ring.state, 'flowing');
  pull(ring, 1);
  assert.deepEqual([ring.samplesRead, ring.state], [20, 'over']);
});

test('ending an empty ring is over at once', () => {
  const ring = new Ring(100, FADE);
  ring.end();
  assert.equal(ring.state, 'over');
});

test('ending a dry ring is over at once', () => {
  const ring = flowing(ones(4));
  pull(ring, 10);
  ring.end();
  assert.equal(ring.state, 'over');
});

test('overflow throws', () => {
  assert.throws(() => flowing(ones(60)).push(ones(41)), /no room for 41 samples/);
});

test('over is a final state', () => {
  assert.deepEqual(MOVES.over, []);
});
