/**
 * Runs in the page before its own scripts: notes all that goes to the sound device, by the audio clock, and when words
 * light up and buttons are pressed, by the same clock.
 */
(() => {
  const tap = (window.tap = { rateHz: 0, startFrame: 0, pieces: [], presses: {}, lit: [] });
  const tapped = new WeakSet();
  let clock = null;

  const frame = () => (clock ? Math.round(clock.currentTime * clock.sampleRate) : 0);

  const addModule = AudioWorklet.prototype.addModule;
  AudioWorklet.prototype.addModule = async function (url, options) {
    tapped.add(this);
    await addModule.call(this, '/tap-worklet.js');
    return addModule.call(this, url, options);
  };

  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (destination, ...rest) {
    if (destination instanceof AudioDestinationNode && tapped.has(this.context.audioWorklet)) {
      clock = this.context;
      tap.rateHz = clock.sampleRate;
      const node = new AudioWorkletNode(clock, 'tap', { channelCount: 1, channelCountMode: 'explicit' });
      node.port.onmessage = ({ data }) => {
        if (!tap.pieces.length) tap.startFrame = data.frame;
        tap.pieces.push(data.samples);
      };
      connect.call(this, node);
      connect.call(node, destination);
    }
    return connect.call(this, destination, ...rest);
  };

  addEventListener('click', ({ target }) => {
    tap.presses[target.textContent] = frame();
  }, true);

  addEventListener('DOMContentLoaded', () => {
    new MutationObserver((changes) => {
      for (const { target, oldValue } of changes) {
        const isNew = target.classList.contains('heard') && !(oldValue ?? '').includes('heard');
        if (isNew) tap.lit.push({ word: target.textContent, frame: frame() });
      }
    }).observe(document.getElementById('captions'), { subtree: true, attributeFilter: ['class'], attributeOldValue: true });
  });

  tap.samples = () => {
    const all = new Float32Array(tap.pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const piece of tap.pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    let text = '';
    for (const byte of new Uint8Array(all.buffer)) text += String.fromCharCode(byte);
    return btoa(text);
  };
})();
