/**
 * Runs in the page before its own scripts. Records everything that is sent to the audio device, when buttons are clicked
 * and when words are highlighted, all by the audio clock.
 */
(() => {
  const capture = (window.capture = { rateHz: 0, startFrame: 0, pieces: [], clicks: {}, highlights: [] });
  const instrumented = new WeakSet();
  let clock = null;
  let endFrame = 0;
  const waiting = [];

  const frame = () => (clock ? Math.round(clock.currentTime * clock.sampleRate) : 0);

  const addModule = AudioWorklet.prototype.addModule;
  AudioWorklet.prototype.addModule = async function (url, options) {
    instrumented.add(this);
    await addModule.call(this, '/audio_capture_worklet.js');
    return addModule.call(this, url, options);
  };

  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (destination, ...rest) {
    if (destination instanceof AudioDestinationNode && instrumented.has(this.context.audioWorklet)) {
      clock = this.context;
      capture.rateHz = clock.sampleRate;
      const node = new AudioWorkletNode(clock, 'audio-capture', { channelCount: 1, channelCountMode: 'explicit' });
      node.port.onmessage = ({ data }) => {
        if (!capture.pieces.length) capture.startFrame = data.frame;
        capture.pieces.push(data.samples);
        endFrame = data.frame + data.samples.length;
        for (const wake of waiting.splice(0)) wake();
      };
      connect.call(this, node);
      connect.call(node, destination);
    }
    return connect.call(this, destination, ...rest);
  };

  addEventListener('click', ({ target }) => {
    capture.clicks[target.textContent] = frame();
  }, true);

  addEventListener('DOMContentLoaded', () => {
    new MutationObserver((changes) => {
      for (const { target, oldValue } of changes) {
        const isNew = target.classList.contains('played') && !(oldValue ?? '').includes('played');
        if (isNew) capture.highlights.push({ word: target.textContent, frame: frame() });
      }
    }).observe(document.getElementById('captions'), { subtree: true, attributeFilter: ['class'], attributeOldValue: true });
  });

  /** Resolves when everything output until now has been captured, and this much more. */
  capture.flush = async (moreMs = 0) => {
    const targetFrame = frame() + (moreMs * capture.rateHz) / 1000;
    while (clock?.state === 'running' && endFrame < targetFrame) await new Promise((wake) => waiting.push(wake));
  };

  capture.samples = () => {
    const all = new Float32Array(capture.pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const piece of capture.pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    let text = '';
    for (const byte of new Uint8Array(all.buffer)) text += String.fromCharCode(byte);
    return btoa(text);
  };
})();
