import { expect, test } from "vitest";
import { Looks } from "../../../../src/reconcile/verification/looks.ts";

test("a turn takes the looks of its host, in their order; one that comes later waits for the next turn", () => {
  const looks = new Looks();
  const [first, second, other, later] = Array.from({ length: 4 }, () => ({ done: () => {} }));
  looks.add("a:22", first!);
  looks.add("b:22", other!);
  looks.add("a:22", second!);
  expect(looks.take("a:22")).toEqual([first, second]);
  looks.add("a:22", later!);
  expect(looks.take("a:22")).toEqual([later]);
  expect(looks.take("a:22")).toEqual([]);
  expect(looks.take("b:22")).toEqual([other]);
});
