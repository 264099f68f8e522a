/** A canvas at the resolution of the screen. */

export class Canvas {
  widthPx = 0;
  heightPx = 0;
  #element;
  #pen;

  /** @param {HTMLCanvasElement} element @param {() => void} redraw called when its size or colours have changed */
  constructor(element, redraw) {
    this.#element = element;
    this.#pen = /** @type {CanvasRenderingContext2D} */ (element.getContext('2d'));
    new ResizeObserver(() => {
      this.#fit();
      redraw();
    }).observe(element);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  }

  /** Clear the canvas. The returned context draws in CSS pixels. */
  clear() {
    this.#pen.clearRect(0, 0, this.widthPx, this.heightPx);
    return this.#pen;
  }

  /** The value of a CSS colour variable. @param {string} name such as `--accent` */
  colour(name) {
    return getComputedStyle(this.#element).getPropertyValue(name);
  }

  #fit() {
    const { width, height } = this.#element.getBoundingClientRect();
    const scale = devicePixelRatio;
    this.widthPx = width;
    this.heightPx = height;
    this.#element.width = Math.round(width * scale);
    this.#element.height = Math.round(height * scale);
    this.#pen.setTransform(scale, 0, 0, scale, 0, 0);
  }
}
