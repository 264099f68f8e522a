import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Intake } from '../intake.js';
import { opusFrame, pcmFrame } from './frames.js';
import { AudioDecoder, DAMAGED, EncodedAudioChunk } from './paper_codecs.js';

beforeEach(() => Object.assign(globalThis, { AudioDecoder, EncodedAudioChunk }));
afterEach(() => {
  for (const name of ['AudioDecoder', 'EncodedAudioChunk']) delete globalThis[name];
});

function intake(rateHz) {
  const came = [];
  const failures = [];
  const take = (samples, startMs) => came.push({ startMs, samples });
  return { intake: new Intake(rateHz, take, (error) => failures.push(error)), came, failures };
}

const times = (came) => came.map(({ startMs, samples }) => [Math.round(startMs * 100) / 100, samples.length]);

test('PCM at the output\'s own rate is given as it is', async () => {
  const { intake: own, came } = intake(24_000);
  own.take(pcmFrame(0));
  own.take(pcmFrame(1, -1));
  await own.end();
  assert.deepEqual(times(came), [[0, 1920], [80, 1920]]);
  assert.deepEqual(came.map(({ samples }) => samples[7]), [0.5, -1]);
});

test('PCM at another rate is made to fit, without a hole', async () => {
  const { intake: own, came } = intake(48_000);
  own.take(pcmFrame(0));
  own.take(pcmFrame(1));
  await own.end();
  assert.equal(came.reduce((sum, { samples }) => sum + samples.length, 0), 2 * 3840);
  came.reduce((endMs, { startMs, samples }) => {
    assert.ok(Math.abs(startMs - endMs) < 1e-6);
    return startMs + samples.length / 48;
  }, 0);
});

test('what is too little to make anything of waits for more', async () => {
  const { intake: own, came } = intake(48_000);
  const piece = pcmFrame(0);
  piece.data = piece.data.subarray(0, 8);
  own.take(piece);
  assert.deepEqual(came, []);
  await own.end();
  assert.equal(came[0].samples.length, 8);
});

test('Opus is decoded, and an end waits for the last of it', async () => {
  const { intake: own, came } = intake(48_000);
  own.take(opusFrame(0, 1));
  own.take(opusFrame(1, 2));
  await own.end();
  assert.deepEqual(times(came), [[0, 3528], [73.5, 3840]]);
});

test('samples may be given as they came out', () => {
  const { intake: own, came } = intake(48_000);
  own.take({ samples: new Float32Array(480), start_ms: 500 });
  assert.deepEqual(times(came), [[500, 480]]);
});

test('what is missing is silence, so that all else is where it belongs', async () => {
  const { intake: own, came } = intake(48_000);
  [1, DAMAGED, 3].forEach((value, n) => own.take(opusFrame(n, value)));
  await own.end();
  assert.deepEqual(times(came), [[0, 3528], [73.5, 3840], [153.5, 3840]]);
  assert.deepEqual(came.map(({ samples }) => Math.round(samples[0] * 100)), [1, 0, 3]);
});

test('who cannot decode Opus is told', async () => {
  const { intake: own, failures } = intake(48_000);
  for (let n = 0; n < 6; n++) own.take(opusFrame(n, DAMAGED));
  await own.end();
  assert.equal(failures.length, 1);
});

test('an end of nothing gives nothing', async () => {
  const { intake: own, came } = intake(48_000);
  await own.end();
  assert.deepEqual(came, []);
});
