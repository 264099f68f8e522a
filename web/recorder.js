/** The microphone, as samples. Knows neither what they are for nor how they are shown. */

// As the room is: what makes calls intelligible takes away what makes a voice that voice.
const WISH = { audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true } };
const INSECURE = 'A browser gives the microphone only to pages from https or from localhost. Choose a file instead.';
/** By what browsers call it. @type {Record<string, string>} */
const WORDS = {
  NotAllowedError: 'This page may not use the microphone. Allow it beside the address above, then press Record again.',
  NotFoundError: 'There is no microphone. Plug one in and press Record again, or choose a file.',
  NotReadableError: 'The microphone does not answer: another program may hold it. Close that, then press Record again.',
};

/** There is no recording, and the message says what to do. */
export class MicrophoneError extends Error {
  name = 'MicrophoneError';
}

export class Recorder {
  #context;
  #stream;

  /**
   * In the handler of a click. Asks the person where the browser has not done so before.
   * @param {{onSamples: (samples: Float32Array) => void, onLost: () => void}} listener `onLost`: the microphone is gone
   * @returns {Promise<Recorder>}
   * @throws {MicrophoneError}
   */
  static async open(listener) {
    if (!navigator.mediaDevices) throw new MicrophoneError(INSECURE); // so it is in an insecure context
    const stream = await navigator.mediaDevices.getUserMedia(WISH).catch((error) => {
      const unknown = `The microphone cannot be used (${error.name}). Choose a file instead.`;
      throw new MicrophoneError(WORDS[error.name] ?? unknown);
    });
    const recorder = new Recorder(new AudioContext(), stream);
    try {
      await recorder.#begin(listener);
    } catch {
      recorder.close();
      throw new MicrophoneError('This page has not come whole. Reload it, then press Record again.');
    }
    return recorder;
  }

  /** @param {AudioContext} context @param {MediaStream} stream */
  constructor(context, stream) {
    this.#context = context;
    this.#stream = stream;
  }

  get rateHz() {
    return this.#context.sampleRate;
  }

  /** From now on the browser shows nobody recording. Twice is harmless. */
  close() {
    for (const track of this.#stream.getTracks()) track.stop();
    if (this.#context.state !== 'closed') this.#context.close();
  }

  /** @param {{onSamples: (samples: Float32Array) => void, onLost: () => void}} listener */
  async #begin({ onSamples, onLost }) {
    const context = this.#context;
    await context.audioWorklet.addModule(new URL('./recorder_worklet.js', import.meta.url));
    await context.resume();
    const worklet = new AudioWorkletNode(context, 'recorder', { channelCount: 1, channelCountMode: 'explicit' });
    worklet.port.onmessage = ({ data }) => onSamples(data);
    this.#stream.getAudioTracks()[0].onended = onLost;
    context.createMediaStreamSource(this.#stream).connect(worklet);
    worklet.connect(context.destination); // silent, but what leads nowhere is not run everywhere
  }
}
