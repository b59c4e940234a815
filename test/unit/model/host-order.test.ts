import { expect, test } from "vitest";
import { hostOrder } from "../../../src/model/host-order.ts";

test("addresses sort by number, IPv4 before IPv6 before names, and then by port", () => {
  const sorted: readonly (readonly [string, number])[] = [
    ["9.0.0.1", 22],
    ["10.0.0.2", 22],
    ["10.0.0.10", 22],
    ["10.0.0.10", 222],
    ["10.0.0.10", 2222],
    ["10.0.0.10", 10_022],
    ["10.0.1.1", 22],
    ["::", 22],
    ["::1", 22],
    ["::ffff:1.2.3.4", 22],
    ["64:ff9b::10.0.0.1", 22],
    ["2001:db8::2", 22],
    ["2001:db8::10", 22],
    ["2001:db8:0:1::", 22],
    ["fe80::1", 22],
    ["db-1", 22],
    ["web-1.example.com", 22],
  ];
  const shuffled = sorted.toReversed();
  const order = ([address, port]: readonly [string, number]) => hostOrder(address, port);
  expect(shuffled.sort((a, b) => (order(a) < order(b) ? -1 : 1))).toEqual(sorted);
});

test("an IPv6 address sorts alike however it is written", () => {
  for (const text of ["2001:0db8:0000:0000:0000:0000:0000:0001", "2001:DB8::1", "2001:db8:0:0::0.0.0.1"]) {
    expect(hostOrder(text, 22)).toBe(hostOrder("2001:db8::1", 22));
  }
});
