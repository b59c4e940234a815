import { defineConfig } from "vitest/config";

const common = {
  pool: "forks" as const,
  restoreMocks: true,
  setupFiles: ["test/support/setup/no-leftovers.ts"],
  // Against tests that hang; what must be quick says so itself.
  testTimeout: 90_000,
  hookTimeout: 120_000,
};
const speed = ["test/**/speed.test.ts"];

/** What measures time runs alone, after the rest; what starts sshd, git and rsync mostly waits for them. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...common,
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          exclude: speed,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...common,
          name: "system",
          include: ["test/{integration,e2e}/**/*.test.ts"],
          exclude: speed,
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
        },
      },
      { test: { ...common, name: "speed", include: speed, maxWorkers: 1, sequence: { groupOrder: 2 } } },
    ],
  },
});
