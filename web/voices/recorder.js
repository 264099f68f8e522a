/** Records samples from the microphone. */

// No echo cancellation or noise suppression: they change how the voice sounds.
const CONSTRAINTS = {
  audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true },
};
const INSECURE = 'Browsers allow the microphone only on https pages and on localhost. Choose a file instead.';
/** By the names of browser errors. @type {Record<string, string>} */
const MESSAGES = {
  NotAllowedError: 'The browser blocks the microphone. Allow it for this page in the address bar, then press Record.',
  NotFoundError: 'No microphone was found. Connect one and press Record again, or choose a file.',
  NotReadableError: 'The microphone does not respond. Close other programs that use it, then press Record again.',
};

/** The microphone cannot be used. The message says what to do. */
export class MicrophoneError extends Error {
  name = 'MicrophoneError';
}

export class Recorder {
  #context;
  #stream;

  /**
   * Start recording. Call it inside a click handler; the browser asks for permission if it has not done so before.
   * @param {{onSamples: (samples: Float32Array) => void, onLost: () => void}} listener `onLost`: the microphone was
   *   unplugged or blocked
   * @returns {Promise<Recorder>}
   * @throws {MicrophoneError}
   */
  static async open(listener) {
    if (!navigator.mediaDevices) throw new MicrophoneError(INSECURE); // undefined in insecure contexts
    const stream = await navigator.mediaDevices.getUserMedia(CONSTRAINTS).catch((error) => {
      const unknown = `The microphone cannot be used (${error.name}). Choose a file instead.`;
      throw new MicrophoneError(MESSAGES[error.name] ?? unknown);
    });
    const recorder = new Recorder(new AudioContext(), stream);
    try {
      await recorder.#start(listener);
    } catch {
      recorder.close();
      throw new MicrophoneError('A part of this page failed to load. Reload it, then press Record again.');
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

  /** Release the microphone. Idempotent. */
  close() {
    for (const track of this.#stream.getTracks()) track.stop();
    if (this.#context.state !== 'closed') this.#context.close();
  }

  /** @param {{onSamples: (samples: Float32Array) => void, onLost: () => void}} listener */
  async #start({ onSamples, onLost }) {
    const context = this.#context;
    await context.audioWorklet.addModule(new URL('./recorder_worklet.js', import.meta.url));
    await context.resume();
    const worklet = new AudioWorkletNode(context, 'recorder', { channelCount: 1, channelCountMode: 'explicit' });
    worklet.port.onmessage = ({ data }) => onSamples(data);
    this.#stream.getAudioTracks()[0].onended = onLost;
    context.createMediaStreamSource(this.#stream).connect(worklet);
    worklet.connect(context.destination); // outputs silence; some browsers do not run a node that is not connected
  }
}
