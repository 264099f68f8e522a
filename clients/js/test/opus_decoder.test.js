import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OpusDecoder } from '../opus_decoder.js';
import { AudioDecoder, DAMAGED, EncodedAudioChunk, createdDecoders } from './fake_codecs.js';

const codecs = { AudioDecoder, EncodedAudioChunk };
const packet = (value, start_ms) => ({ data: [value], start_ms, sample_rate_hz: 24_000, opus_pre_skip: 156 });

function decoder() {
  const output = [];
  const failures = [];
  const take = (samples, startMs) => output.push([startMs, samples.length, Math.round(samples[0] * 100)]);
  return { opus: new OpusDecoder(take, (error) => failures.push(error), codecs), output, failures };
}

test('support is detected, missing or unknown', async () => {
  assert.equal(await OpusDecoder.supported({}), false);
  const isSupported = async (support) => OpusDecoder.supported({ AudioDecoder: { isConfigSupported: support } });
  assert.equal(await isSupported(async () => ({ supported: true })), true);
  assert.equal(await isSupported(async () => ({ supported: false })), false);
  assert.equal(await isSupported(async () => { throw new TypeError('what is opus?'); }), false);
  assert.equal(await OpusDecoder.supported(), false, 'Node has none');
});

test('the encoder\'s pre-skip is dropped and timestamps are adjusted', async () => {
  const { opus, output } = decoder();
  [0, 80, 160].forEach((startMs, n) => opus.decode(packet(n + 1, startMs)));
  await opus.flush();
  assert.deepEqual(output, [[0, 3840 - 312, 1], [73.5, 3840, 2], [153.5, 3840, 3]]);
});

test('a stream can start in the middle', async () => {
  const { opus, output } = decoder();
  opus.decode(packet(1, 800));
  opus.decode(packet(2, 880));
  await opus.flush();
  assert.deepEqual(output, [[800, 3840 - 312, 1], [873.5, 3840, 2]]);
});

test('a damaged packet is skipped', async () => {
  const { opus, output, failures } = decoder();
  [1, DAMAGED, 3, 4].forEach((value, n) => opus.decode(packet(value, n * 80)));
  await opus.flush();
  assert.deepEqual(output.map(([startMs, , value]) => [startMs, value]), [[0, 1], [153.5, 3], [233.5, 4]]);
  assert.deepEqual(failures, []);
});

test('repeated failures are reported with advice', async () => {
  const { opus, failures } = decoder();
  for (let n = 0; n < 6; n++) opus.decode(packet(DAMAGED, n * 80));
  await opus.flush();
  assert.equal(failures.length, 1);
  assert.match(failures[0].message, /format: 'pcm'/);
  opus.decode(packet(1, 480));
});

test('a reclaimed decoder is replaced', async () => {
  const { opus, output } = decoder();
  opus.decode(packet(1, 0));
  await opus.flush();
  createdDecoders.at(-1).fail('QuotaExceededError', 'Codec reclaimed due to inactivity.');
  opus.decode(packet(2, 80));
  await opus.flush();
  assert.deepEqual(output.map(([startMs, , value]) => [startMs, value]), [[0, 1], [73.5, 2]]);
});

test('nothing is emitted after close', async () => {
  const { opus, output } = decoder();
  opus.decode(packet(1, 0));
  opus.close();
  opus.close();
  await opus.flush();
  assert.deepEqual(output, []);
});
