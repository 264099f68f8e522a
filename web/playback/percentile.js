/**
 * The nearest-rank percentile: the least value that at least this fraction of the values does not exceed.
 * @param {number[]} values at least one
 * @param {number} fraction above 0, up to 1
 */
export function percentile(values, fraction) {
  return values.toSorted((a, b) => a - b)[Math.ceil(fraction * values.length) - 1];
}
