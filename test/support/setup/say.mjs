/** Tells a person what was done; stdout belongs to the command that is run. */
export function say(/** @type {string} */ text) {
  process.stderr.write(`setup: ${text}\n`);
}

/** Seconds since `start`, for people. */
export function since(/** @type {number} */ start) {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`;
}
