import { expect, test } from "vitest";
import { PlainHosts, type Hindrance } from "../../../../src/transport/batch/plain-hosts.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const OLD: Hindrance = { text: "rsync 3.0.9 cannot read the batch", lasts: "host" };
const HEAD: Hindrance = { text: "head on the host reads ahead", lasts: "host", ofLongOnes: true };
const ODD: Hindrance = { text: "odd", lasts: "surprise" };

test("what lasts is known for an hour", () => {
  const clock = new ManualClock();
  const hosts = new PlainHosts(clock);
  hosts.learn("a", OLD);
  clock.advance(60 * 60_000);
  expect([hosts.hindrance("a", false), hosts.hindrance("b", false)]).toEqual([OLD.text, undefined]);
  clock.advance(1);
  expect(hosts.hindrance("a", false)).toBeUndefined();
});

test("what keeps long ones from a host does not keep short ones, and is not forgotten for them", () => {
  const hosts = new PlainHosts(new ManualClock());
  hosts.learn("a", HEAD);
  hosts.forget("a", false);
  expect([hosts.hindrance("a", false), hosts.hindrance("a", true)]).toEqual([undefined, HEAD.text]);
  hosts.forget("a", true);
  expect(hosts.hindrance("a", true)).toBeUndefined();
});

test("a surprise counts when it comes again before a batch was laid", () => {
  const hosts = new PlainHosts(new ManualClock());
  hosts.learn("a", ODD);
  hosts.learn("a", { text: "edited", lasts: "once" });
  expect(hosts.hindrance("a", false)).toBeUndefined();
  hosts.forget("a", false);
  hosts.learn("a", ODD);
  expect(hosts.hindrance("a", false)).toBeUndefined();
  hosts.learn("a", ODD);
  expect(hosts.hindrance("a", false)).toBe("odd");
});

test("it knows so many hosts and no more", () => {
  const hosts = new PlainHosts(new ManualClock());
  for (let host = 0; host < 20_000; host++) hosts.learn(String(host), OLD);
  expect([hosts.hindrance("0", false), hosts.hindrance("19999", false)]).toEqual([undefined, OLD.text]);
});
