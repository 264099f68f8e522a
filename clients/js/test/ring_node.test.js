import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadWorklet, createRingNode } from '../ring_node.js';

const OPTIONS = { capacity: 48_000, fadeSamples: 192, rateHz: 24_000 };

/** An audio context without worklets. */
class FakeAudioContext {
  sampleRate = 24_000;
  node = { onaudioprocess: (_) => {} };
  createScriptProcessor = () => this.node;

  pull(count, atS) {
    const output = new Float32Array(count);
    this.node.onaudioprocess({ outputBuffer: { getChannelData: () => output }, playbackTime: atS });
    return output;
  }
}

test('without audio worklets a script processor moves the samples', async () => {
  const audio = /** @type {any} */ (new FakeAudioContext());
  await loadWorklet(audio);
  const { node, port } = createRingNode(audio, OPTIONS);
  assert.equal(node, audio.node);
  audio.pull(1024, 1); // without a listener
  const reports = [];
  port.onmessage = ({ data }) => reports.push(data);
  port.postMessage(['push', new Float32Array(1200).fill(0.5)]);
  port.postMessage(['flow']);
  assert.equal(audio.pull(1024, 2)[500], 0.5);
  assert.deepEqual(reports, [{ state: 'flowing', samplesRead: 1024, frame: 49_024, commands: 1 }]);
  audio.pull(1024, 2.5);
  assert.deepEqual(reports[1], { state: 'held', samplesRead: 1200, frame: 60_176, commands: 1 });
});

test('with audio worklets a worklet node is created', async () => {
  const loaded = [];
  const audio = /** @type {any} */ ({ audioWorklet: { addModule: async (url) => loaded.push(url.pathname.split('/').at(-1)) } });
  await loadWorklet(audio);
  assert.deepEqual(loaded, ['ring_worklet.js']);
  globalThis.AudioWorkletNode = /** @type {any} */ (class {
    constructor(_, name, options) {
      this.port = { name, options };
    }
  });
  const { port } = createRingNode(audio, OPTIONS);
  assert.deepEqual(port, { name: 'sayline-ring', options: { numberOfInputs: 0, outputChannelCount: [1], processorOptions: OPTIONS } });
});
