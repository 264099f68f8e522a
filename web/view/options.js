/** The page's speech settings. */

const SEEDS = 1_000_000; // short enough to read out or retype

/** @param {string} id */
const input = (id) => /** @type {HTMLInputElement} */ (document.getElementById(id));

export class Options {
  #fields = { speed: input('speed'), temperature: input('temperature'), steps: input('steps'), seed: input('seed') };
  #format = /** @type {HTMLSelectElement} */ (document.getElementById('format'));
  #speedNow = /** @type {HTMLOutputElement} */ (document.getElementById('speed-now'));
  #randomSeed = randomSeed();

  constructor() {
    this.#fields.speed.addEventListener('input', () => this.#showSpeed());
    this.#showSpeed();
  }

  /** Called after each change. @param {() => void} changed */
  set onChange(changed) {
    for (const field of [...Object.values(this.#fields), this.#format]) field.addEventListener('input', changed);
  }

  /** The settings for a context. Undefined settings are left to the server; the seed is always set. */
  get values() {
    const { speed, temperature, steps, seed } = this.#fields;
    return {
      speed: speed.valueAsNumber === 1 ? undefined : speed.valueAsNumber,
      temperature: numberOrUndefined(temperature),
      decodeSteps: numberOrUndefined(steps),
      seed: numberOrUndefined(seed) ?? this.#randomSeed,
    };
  }

  /** The audio format to request. @param {'opus' | 'pcm'} playable the format that the browser can play */
  format(playable) {
    const opus = /** @type {HTMLOptionElement} */ (this.#format.options.namedItem('opus') ?? this.#format.options[0]);
    opus.disabled = playable === 'pcm';
    if (opus.disabled) this.#format.value = 'pcm';
    return /** @type {'opus' | 'pcm'} */ (this.#format.value);
  }

  /** Draw a new random seed and show it as the placeholder of its field, so that the speech can be repeated. */
  drawSeed() {
    this.#randomSeed = randomSeed();
    this.#fields.seed.placeholder = String(this.#randomSeed);
  }

  #showSpeed() {
    this.#speedNow.value = `${this.#fields.speed.valueAsNumber.toFixed(2)}×`;
  }
}

/** @param {HTMLInputElement} field */
function numberOrUndefined(field) {
  return Number.isNaN(field.valueAsNumber) ? undefined : field.valueAsNumber;
}

function randomSeed() {
  return Math.floor(Math.random() * SEEDS);
}
