/** A canvas that has as many pixels as the screen shows of it. */

export class Canvas {
  widthPx = 0;
  heightPx = 0;
  #element;
  #pen;

  /** @param {HTMLCanvasElement} element @param {() => void} redraw when its size or its colours have changed */
  constructor(element, redraw) {
    this.#element = element;
    this.#pen = /** @type {CanvasRenderingContext2D} */ (element.getContext('2d'));
    new ResizeObserver(() => {
      this.#fit();
      redraw();
    }).observe(element);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  }

  /** A clean sheet, in CSS pixels. */
  begin() {
    this.#pen.clearRect(0, 0, this.widthPx, this.heightPx);
    return this.#pen;
  }

  /** @param {string} name of one of the page's colours, as `--accent` */
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
