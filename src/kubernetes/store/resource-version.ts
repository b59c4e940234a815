const DECIMAL = /^\d+$/;

/** Resource versions of one resource are numbers that grow; what is no number cannot be compared. */
export function isOlder(version: string, than: string | undefined): boolean {
  if (than === undefined || !DECIMAL.test(version) || !DECIMAL.test(than)) return false;
  return BigInt(version) < BigInt(than);
}
