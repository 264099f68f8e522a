import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Resampler } from '../resampler.js';

const tone = (hz, rateHz, count) => Float32Array.from({ length: count }, (_, n) => Math.sin((2 * Math.PI * hz * n) / rateHz));

function whole(resampler, ...pieces) {
  return [...pieces, null].flatMap((piece) => [...(piece ? resampler.push(piece) : resampler.end())]);
}

function worst(samples, expected) {
  return Math.max(...samples.map((sample, n) => Math.abs(sample - expected[n])));
}

for (const [fromHz, toHz] of [[24_000, 48_000], [24_000, 44_100], [16_000, 48_000], [48_000, 24_000]]) {
  test(`a tone of ${fromHz} samples a second is the same tone at ${toHz}`, () => {
    const samples = whole(new Resampler(fromHz, toHz), tone(1000, fromHz, fromHz / 4));
    assert.equal(samples.length, toHz / 4);
    const inner = samples.slice(100, -100);
    assert.ok(worst(inner, tone(1000, toHz, toHz / 4).slice(100)) < 0.002);
  });
}

test('upsampling by two keeps the original samples', () => {
  const old = Float32Array.from({ length: 500 }, () => Math.random() - 0.5);
  const samples = whole(new Resampler(24_000, 48_000), old);
  assert.ok(worst([...old], samples.filter((_, n) => n % 2 === 0)) < 1e-6);
});

test('the result does not depend on how the input is split', () => {
  const old = Float32Array.from({ length: 1000 }, () => Math.random() - 0.5);
  const cuts = [0, 1, 2, 40, 41, 500, 1000];
  const pieces = cuts.slice(1).map((cut, n) => old.subarray(cuts[n], cut));
  assert.deepEqual(whole(new Resampler(24_000, 44_100), ...pieces), whole(new Resampler(24_000, 44_100), old));
});

test('a constant signal keeps its level', () => {
  const samples = whole(new Resampler(24_000, 44_100), new Float32Array(2000).fill(0.5));
  assert.ok(worst(samples.slice(100, -100), Array(5000).fill(0.5)) < 1e-6);
});
