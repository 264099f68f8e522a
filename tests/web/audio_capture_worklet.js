/** Reports its input with the audio clock. Its output is silence, because the input also goes to the destination. */
class AudioCapture extends AudioWorkletProcessor {
  process([[samples]]) {
    this.port.postMessage({ frame: currentFrame, samples: samples ? samples.slice() : new Float32Array(128) });
    return true;
  }
}

registerProcessor('audio-capture', AudioCapture);
