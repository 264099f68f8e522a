/** Where samples are moved to the output: on the audio thread, or on the page's own where browsers give no other. */

import { Pump } from './pump.js';

/**
 * @typedef {object} RingNode
 * @property {AudioNode} node
 * @property {Pick<MessagePort, 'postMessage' | 'onmessage'>} port
 */
/** @typedef {import('./pump.js').PumpOptions} PumpOptions */

const SCRIPT_SAMPLES = 1024; // 43 ms at 24 kHz: a page has more to do

/** Once for each context. @param {AudioContext} audio */
export async function prepare(audio) {
  await audio.audioWorklet?.addModule(new URL('./ring_worklet.js', import.meta.url));
}

/** @param {AudioContext} audio @param {PumpOptions} options @returns {RingNode} */
export function ringNode(audio, options) {
  return audio.audioWorklet ? workletNode(audio, options) : scriptNode(audio, options);
}

/** @param {AudioContext} audio @param {PumpOptions} processorOptions @returns {RingNode} */
function workletNode(audio, processorOptions) {
  const options = { numberOfInputs: 0, outputChannelCount: [1], processorOptions };
  const node = new AudioWorkletNode(audio, 'sayline-ring', options);
  return { node, port: node.port };
}

/**
 * For pages that are neither https nor localhost.
 * @param {AudioContext} audio
 * @param {PumpOptions} options
 * @returns {RingNode}
 */
function scriptNode(audio, options) {
  const node = audio.createScriptProcessor(SCRIPT_SAMPLES, 1, 1); // with no input, some browsers never ask for output
  /** @type {any} */
  const port = { postMessage: (/** @type {any} */ message) => pump.obey(message), onmessage: null };
  const pump = new Pump(options, (data) => port.onmessage?.({ data }));
  node.onaudioprocess = ({ outputBuffer, playbackTime }) => {
    pump.fill(outputBuffer.getChannelData(0), Math.round(playbackTime * audio.sampleRate));
  };
  return { node, port };
}
