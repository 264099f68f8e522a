/** The volume: a slider, and a button that mutes and restores it. */

export class VolumeControl {
  #slider = /** @type {HTMLInputElement} */ (document.getElementById('volume'));
  #mute = /** @type {HTMLButtonElement} */ (document.getElementById('mute'));
  #audible = this.#slider.max;

  /** @param {(volume: number) => void} onChange with 0 to 1 */
  constructor(onChange) {
    this.#slider.addEventListener('input', () => {
      const isMuted = this.#slider.valueAsNumber === 0;
      if (!isMuted) this.#audible = this.#slider.value;
      this.#mute.setAttribute('aria-pressed', String(isMuted));
      onChange(this.#slider.valueAsNumber);
    });
    this.#mute.addEventListener('click', () => {
      this.#slider.value = this.#slider.valueAsNumber === 0 ? this.#audible : '0';
      this.#slider.dispatchEvent(new Event('input', { bubbles: true }));
    });
  }
}
