import { expect, test } from "vitest";
import { RecentAnswers } from "../../../src/kubernetes/recent-answers.ts";
import { ManualClock } from "../../support/manual-clock.ts";

function make(most = 10) {
  const clock = new ManualClock();
  const answers = new RecentAnswers<string>({ clock, holds: 10_000, most });
  let asked = 0;
  return { clock, answers, ask: async () => `answer ${++asked}` };
}

test("an answer holds for its time, counted from the question", async () => {
  const { clock, answers, ask } = make();
  const slow = Promise.withResolvers<string>();
  const first = answers.get("a", () => slow.promise);
  clock.advance(9000);
  slow.resolve("slow");
  await expect(first).resolves.toBe("slow");
  clock.advance(999);
  await expect(answers.get("a", ask)).resolves.toBe("slow");
  clock.advance(1);
  await expect(answers.get("a", ask)).resolves.toBe("answer 1");
});

test("what is held is told without asking, as long as it holds", async () => {
  const { clock, answers, ask } = make();
  expect(answers.held("a")).toBeUndefined();
  await answers.get("a", ask);
  clock.advance(9999);
  await expect(answers.held("a")).resolves.toBe("answer 1");
  clock.advance(1);
  expect(answers.held("a")).toBeUndefined();
});

test("whoever asks meanwhile shares the question", async () => {
  const { answers, ask } = make();
  await expect(Promise.all([1, 2, 3].map(() => answers.get("a", ask)))).resolves.toEqual(Array(3).fill("answer 1"));
});

test("a failure is everybody's who shared the question, and is not kept", async () => {
  const { answers, ask } = make();
  const fail = async () => {
    throw new Error("away");
  };
  const failed = await Promise.allSettled([answers.get("a", fail), answers.get("a", ask)]);
  expect(failed.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(answers.size).toBe(0);
  await expect(answers.get("a", ask)).resolves.toBe("answer 1");
});

test("of too many the one goes that was not wanted for longest", async () => {
  const { answers, ask } = make(2);
  await answers.get("a", ask);
  await answers.get("b", ask);
  await answers.get("a", ask);
  await answers.get("c", ask);
  expect(answers.size).toBe(2);
  await expect(answers.get("a", ask)).resolves.toBe("answer 1");
  await expect(answers.get("b", ask)).resolves.toBe("answer 4");
});
