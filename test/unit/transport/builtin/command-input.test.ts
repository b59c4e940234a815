import { expect, test } from "vitest";
import { gathered } from "../../../../src/transport/builtin/command-input.ts";

test("parts of a command's input are its bytes in order: small ones leave together, large ones are not copied", () => {
  const [go, small, large] = [Buffer.from("go\n"), Buffer.from("small"), Buffer.alloc(100_000, "x")];
  expect(gathered([go, small])).toEqual([Buffer.concat([go, small])]);
  const parts = gathered([go, small, large, small, go]);
  expect(Buffer.concat(parts).equals(Buffer.concat([go, small, large, small, go]))).toBe(true);
  expect(parts).toHaveLength(3);
  expect(parts[1]).toBe(large);
  expect(gathered([])).toEqual([]);
});
