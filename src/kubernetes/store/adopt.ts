import { FssyncError } from "../../model/errors.ts";
import { REPO_LABEL, type Resource } from "../objects.ts";

/** An object of the right name that belongs to another ConfigRepo. */
export class ForeignObject extends FssyncError {
  readonly next = "Delete that object, or give it another name; fssync then makes its own.";

  constructor(name: string, owner: string) {
    super("Internal", `${name} belongs to ConfigRepo ${owner}; it is not written to`);
  }
}

/**
 * What must be done to an object that somebody else made, or changed, before it is written to: nothing
 * (`ours`), put the label and the owner onto it, or make it anew when its ConfigRepo was an earlier one of
 * the same name. Throws ForeignObject when it belongs to another ConfigRepo.
 */
export function adoption(
  found: Resource,
  made: Resource,
): "ours" | "anew" | { readonly patch: { readonly metadata: object; readonly spec: unknown } } {
  const { name = "", ownerReferences = [], labels } = found.metadata ?? {};
  const [own] = made.metadata?.ownerReferences ?? [];
  const owner = ownerReferences.find(({ kind }) => kind === "ConfigRepo");
  const [wanted, asked] = [repoOf(made), repoOf(found)];
  if (owner !== undefined && own !== undefined && owner.name !== own.name) throw new ForeignObject(name, owner.name);
  if (asked !== wanted) throw new ForeignObject(name, asked ?? "of no name");
  if (owner !== undefined && own !== undefined && owner.uid !== own.uid) return "anew";
  const label = made.metadata?.labels?.[REPO_LABEL];
  if (labels?.[REPO_LABEL] === label && (owner !== undefined || own === undefined)) return "ours";
  // Only one owner may be the controller of an object.
  const controller = !ownerReferences.some((each) => each.controller === true);
  const mine = own !== undefined && Object.assign({}, own, { controller });
  const owners = owner === undefined && mine ? [...ownerReferences, mine] : undefined;
  const metadata = { labels: made.metadata?.labels, ...(owners && { ownerReferences: owners }) };
  return { patch: { metadata, spec: made.spec } };
}

function repoOf({ spec }: Resource): string | undefined {
  return (spec as { repoRef?: { name?: string } } | undefined)?.repoRef?.name;
}
