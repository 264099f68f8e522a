import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { DecodePipeline } from '../decode_pipeline.js';
import { opusFrame, pcmFrame } from './frames.js';
import { AudioDecoder, DAMAGED, EncodedAudioChunk } from './fake_codecs.js';

beforeEach(() => Object.assign(globalThis, { AudioDecoder, EncodedAudioChunk }));
afterEach(() => {
  for (const name of ['AudioDecoder', 'EncodedAudioChunk']) delete globalThis[name];
});

function makePipeline(rateHz) {
  const output = [];
  const failures = [];
  const append = (samples, startMs) => output.push({ startMs, samples });
  return { pipeline: new DecodePipeline(rateHz, append, (error) => failures.push(error)), output, failures };
}

const times = (output) => output.map(({ startMs, samples }) => [Math.round(startMs * 100) / 100, samples.length]);

test('PCM at the output\'s rate passes through unchanged', async () => {
  const { pipeline, output } = makePipeline(24_000);
  pipeline.push(pcmFrame(0));
  pipeline.push(pcmFrame(1, -1));
  await pipeline.end();
  assert.deepEqual(times(output), [[0, 1920], [80, 1920]]);
  assert.deepEqual(output.map(({ samples }) => samples[7]), [0.5, -1]);
});

test('PCM at another rate is resampled without gaps', async () => {
  const { pipeline, output } = makePipeline(48_000);
  pipeline.push(pcmFrame(0));
  pipeline.push(pcmFrame(1));
  await pipeline.end();
  assert.equal(output.reduce((sum, { samples }) => sum + samples.length, 0), 2 * 3840);
  output.reduce((endMs, { startMs, samples }) => {
    assert.ok(Math.abs(startMs - endMs) < 1e-6);
    return startMs + samples.length / 48;
  }, 0);
});

test('input too short for the resampler waits for more', async () => {
  const { pipeline, output } = makePipeline(48_000);
  const piece = pcmFrame(0);
  piece.data = piece.data.subarray(0, 8);
  pipeline.push(piece);
  assert.deepEqual(output, []);
  await pipeline.end();
  assert.equal(output[0].samples.length, 8);
});

test('Opus is decoded, and end waits for the last packet', async () => {
  const { pipeline, output } = makePipeline(48_000);
  pipeline.push(opusFrame(0, 1));
  pipeline.push(opusFrame(1, 2));
  await pipeline.end();
  assert.deepEqual(times(output), [[0, 3528], [73.5, 3840]]);
});

test('raw samples can be pushed', () => {
  const { pipeline, output } = makePipeline(48_000);
  pipeline.push({ samples: new Float32Array(480), start_ms: 500 });
  assert.deepEqual(times(output), [[500, 480]]);
});

test('missing audio is replaced by silence, so that the rest keeps its place', async () => {
  const { pipeline, output } = makePipeline(48_000);
  [1, DAMAGED, 3].forEach((value, n) => pipeline.push(opusFrame(n, value)));
  await pipeline.end();
  assert.deepEqual(times(output), [[0, 3528], [73.5, 3840], [153.5, 3840]]);
  assert.deepEqual(output.map(({ samples }) => Math.round(samples[0] * 100)), [1, 0, 3]);
});

test('an Opus decoding failure is reported once', async () => {
  const { pipeline, failures } = makePipeline(48_000);
  for (let n = 0; n < 6; n++) pipeline.push(opusFrame(n, DAMAGED));
  await pipeline.end();
  assert.equal(failures.length, 1);
});

test('ending an empty pipeline emits nothing', async () => {
  const { pipeline, output } = makePipeline(48_000);
  await pipeline.end();
  assert.deepEqual(output, []);
});
