import assert from 'node:assert/strict';
import { test } from 'node:test';
import { prepare, ringNode } from '../ring_node.js';

const OPTIONS = { capacity: 48_000, fadeSamples: 192, rateHz: 24_000 };

/** A page's sound where there is no audio thread for it. */
class PlainAudio {
  sampleRate = 24_000;
  node = { onaudioprocess: (_) => {} };
  createScriptProcessor = () => this.node;

  pull(count, atS) {
    const output = new Float32Array(count);
    this.node.onaudioprocess({ outputBuffer: { getChannelData: () => output }, playbackTime: atS });
    return output;
  }
}

test('where there is no audio thread the page moves the samples itself', async () => {
  const audio = /** @type {any} */ (new PlainAudio());
  await prepare(audio);
  const { node, port } = ringNode(audio, OPTIONS);
  assert.equal(node, audio.node);
  audio.pull(1024, 1); // nobody listens yet
  const reports = [];
  port.onmessage = ({ data }) => reports.push(data);
  port.postMessage(['push', new Float32Array(1200).fill(0.5)]);
  port.postMessage(['flow']);
  assert.equal(audio.pull(1024, 2)[500], 0.5);
  assert.deepEqual(reports, [{ state: 'flowing', moved: 1024, frame: 49_024, orders: 1 }]);
  audio.pull(1024, 2.5);
  assert.deepEqual(reports[1], { state: 'held', moved: 1200, frame: 60_176, orders: 1 });
});

test('where there is one it does', async () => {
  const loaded = [];
  const audio = /** @type {any} */ ({ audioWorklet: { addModule: async (url) => loaded.push(url.pathname.split('/').at(-1)) } });
  await prepare(audio);
  assert.deepEqual(loaded, ['ring_worklet.js']);
  globalThis.AudioWorkletNode = /** @type {any} */ (class {
    constructor(_, name, options) {
      this.port = { name, options };
    }
  });
  const { port } = ringNode(audio, OPTIONS);
  assert.deepEqual(port, { name: 'sayline-ring', options: { numberOfInputs: 0, outputChannelCount: [1], processorOptions: OPTIONS } });
});
