import { z } from "zod";
import { EVENT_REASONS } from "../../ports/events.ts";
import { filters, listOf, oneOrMore, watch } from "./lists.ts";
import { AppName, Time } from "./terms.ts";

const EventReasonName = z.enum(EVENT_REASONS);
const EventType = z.enum(["Normal", "Warning"]);

/** Kept are fewer. */
const MOST_EVENTS = 5000;

export const Event = z
  .object({
    id: z.int().describe("Its own as long as it is kept: what happens again is the same event, counted."),
    repo: z.string(),
    app: AppName.optional().describe("The app that it is about."),
    host: z.string().optional().describe("The host that it is about, `address:port`."),
    type: EventType,
    reason: EventReasonName,
    message: z.string(),
    count: z.int().min(1).describe("How often it happened since `firstAt`."),
    firstAt: Time,
    lastAt: Time,
  })
  .meta({ id: "Event", description: "Something that happened lately; forgotten when the process ends." });
export type Event = z.infer<typeof Event>;

export const EventList = listOf(Event).omit({ next: true }).meta({ id: "EventList" });

export const EventQuery = z.strictObject({
  repo: filters.repo,
  mod: filters.mod.describe("Only about apps of this mod."),
  env: filters.env.describe("Only about apps of this env."),
  app: AppName.optional().describe("Only about this app, `mod/env/app`."),
  host: z
    .string()
    .min(1)
    .max(512)
    .optional()
    .describe("Only about this host: `address`, `address:port` or `[v6]:port`."),
  reason: oneOrMore(EventReasonName).optional().describe("Any of these; may be given several times."),
  type: EventType.optional(),
  limit: z.coerce.number().int().min(1).max(MOST_EVENTS).default(500).describe("How many events at most, the newest."),
  watch,
});
export type EventQuery = z.infer<typeof EventQuery>;
