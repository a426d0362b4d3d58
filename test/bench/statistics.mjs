/**
 * The value below which a share of the sample lies (nearest rank); NaN for an empty sample.
 * @param {Iterable<number>} values
 * @param {number} share 0 to 1
 */
export function quantile(values, share) {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/**
 * NaN for an empty sample.
 * @param {Iterable<number>} values
 */
export function median(values) {
  const sorted = Float64Array.from(values).sort();
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}

/**
 * Median of the rounds' ratios: each round is compared with the yardstick of the same round, so that a machine that
 * is busier in one round than in another does not shift the result.
 * @param {number[]} values
 * @param {number[]} yardstick
 */
export function medianRatio(values, yardstick) {
  return median(values.map((value, round) => value / (yardstick[round] ?? Number.NaN)));
}

/**
 * The items in an order that differs from round to round, so that none always runs first or after the same other one.
 * @template T
 * @param {T[]} items
 * @param {number} round
 * @returns {T[]}
 */
export function rotated(items, round) {
  const start = round % items.length;
  const turned = [...items.slice(start), ...items.slice(0, start)];
  return round % 2 === 0 ? turned : turned.reverse();
}
