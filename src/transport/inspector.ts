import { createHash } from "node:crypto";
import type { FileFact, InspectedFile } from "../ports/transport.ts";
import { parseInspection } from "./inspection-answer.ts";
import { INSPECTION_DONE, INSPECTION_SAME, inspectionCommand, makeInspection, type Inspection } from "./inspection.ts";

/** A command whose standard output is an answer. */
export interface Question {
  readonly command: string;
  readonly input: Buffer;
  /** Bytes that an answer has at most. */
  readonly limit: number;
}

/** With how its answer is to be understood. */
interface Look extends Question {
  /** Throws ProtocolError. */
  facts(answer: { readonly stdout: string }): readonly FileFact[];
}

interface KnownAnswer {
  readonly digest: string;
  readonly facts: readonly FileFact[];
}

/**
 * Asks many hosts about one list of files. Hosts of an app that nobody has touched give the same answer: the last one that
 * came in full is remembered, and a host that would give it again says only that.
 */
export class Inspector {
  readonly #inspection: Inspection;
  #known: KnownAnswer | undefined;

  constructor(files: readonly InspectedFile[]) {
    this.#inspection = makeInspection(files);
  }

  look(root: string, sudo: boolean): Look {
    const { input, limit, maxSize } = this.#inspection;
    const known = this.#known;
    return {
      command: inspectionCommand(root, sudo, maxSize, known?.digest),
      input,
      limit,
      facts: ({ stdout }) => {
        if (known && stdout === INSPECTION_SAME) return known.facts;
        const facts = parseInspection(stdout, this.#inspection);
        this.#known = { digest: digestOf(stdout), facts };
        return facts;
      },
    };
  }
}

function digestOf(answer: string): string {
  return createHash("sha256").update(answer.slice(0, -INSPECTION_DONE.length), "latin1").digest("hex");
}
