/** How it shall be spoken: what the page's settings say. */

const SEEDS = 1_000_000; // short enough to be read out

/** @param {string} id */
const input = (id) => /** @type {HTMLInputElement} */ (document.getElementById(id));

export class Options {
  #fields = { speed: input('speed'), temperature: input('temperature'), steps: input('steps'), seed: input('seed') };
  #format = /** @type {HTMLSelectElement} */ (document.getElementById('format'));
  #speedNow = /** @type {HTMLOutputElement} */ (document.getElementById('speed-now'));
  #drawnSeed = drawSeed();

  constructor() {
    this.#fields.speed.addEventListener('input', () => this.#showSpeed());
    this.#showSpeed();
  }

  /** Told after each change. @param {() => void} changed */
  set onChange(changed) {
    for (const field of [...Object.values(this.#fields), this.#format]) field.addEventListener('input', changed);
  }

  /** What nobody has chosen is the model's own choice, but for the seed. */
  get wish() {
    const { speed, temperature, steps, seed } = this.#fields;
    return {
      speed: speed.valueAsNumber === 1 ? undefined : speed.valueAsNumber,
      temperature: number(temperature),
      decodeSteps: number(steps),
      seed: number(seed) ?? this.#drawnSeed,
    };
  }

  /** @param {'opus' | 'pcm'} playable what the browser can play */
  format(playable) {
    const opus = /** @type {HTMLOptionElement} */ (this.#format.options.namedItem('opus') ?? this.#format.options[0]);
    opus.disabled = playable === 'pcm';
    if (opus.disabled) this.#format.value = 'pcm';
    return /** @type {'opus' | 'pcm'} */ (this.#format.value);
  }

  /** Another chance, which the seed's field then shows, so that it can be had again. */
  draw() {
    this.#drawnSeed = drawSeed();
    this.#fields.seed.placeholder = String(this.#drawnSeed);
  }

  #showSpeed() {
    this.#speedNow.value = `${this.#fields.speed.valueAsNumber.toFixed(2)}×`;
  }
}

/** @param {HTMLInputElement} field */
function number(field) {
  return Number.isNaN(field.valueAsNumber) ? undefined : field.valueAsNumber;
}

function drawSeed() {
  return Math.floor(Math.random() * SEEDS);
}
