/** Notes what passes, by the audio clock; what it gives on is silence, so that nothing is heard twice. */
class Tap extends AudioWorkletProcessor {
  process([[samples]]) {
    this.port.postMessage({ frame: currentFrame, samples: samples ? samples.slice() : new Float32Array(128) });
    return true;
  }
}

registerProcessor('tap', Tap);
