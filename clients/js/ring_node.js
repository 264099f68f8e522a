/** Creates the audio node that plays a ring: on the audio thread, or on the page's thread in insecure contexts. */

import { RingReader } from './ring_reader.js';

/**
 * @typedef {object} RingNode
 * @property {AudioNode} node
 * @property {Pick<MessagePort, 'postMessage' | 'onmessage'>} port
 */
/** @typedef {import('./ring_reader.js').RingOptions} RingOptions */

const SCRIPT_SAMPLES = 1024; // 43 ms at 24 kHz: the page's thread has other work

/** Load the worklet, once per audio context. @param {AudioContext} audio */
export async function loadWorklet(audio) {
  await audio.audioWorklet?.addModule(new URL('./ring_worklet.js', import.meta.url));
}

/** @param {AudioContext} audio @param {RingOptions} options @returns {RingNode} */
export function createRingNode(audio, options) {
  return audio.audioWorklet ? workletNode(audio, options) : scriptNode(audio, options);
}

/** @param {AudioContext} audio @param {RingOptions} processorOptions @returns {RingNode} */
function workletNode(audio, processorOptions) {
  const options = { numberOfInputs: 0, outputChannelCount: [1], processorOptions };
  const node = new AudioWorkletNode(audio, 'sayline-ring', options);
  return { node, port: node.port };
}

/**
 * The fallback for insecure contexts (neither https nor localhost), which have no audio worklets.
 * @param {AudioContext} audio
 * @param {RingOptions} options
 * @returns {RingNode}
 */
function scriptNode(audio, options) {
  const node = audio.createScriptProcessor(SCRIPT_SAMPLES, 1, 1); // without an input some browsers never call it
  /** @type {any} */
  const port = { postMessage: (/** @type {any} */ message) => reader.execute(message), onmessage: null };
  const reader = new RingReader(options, (data) => port.onmessage?.({ data }));
  node.onaudioprocess = ({ outputBuffer, playbackTime }) => {
    reader.fill(outputBuffer.getChannelData(0), Math.round(playbackTime * audio.sampleRate));
  };
  return { node, port };
}
