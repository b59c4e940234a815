import type { AuditedWrite } from "../../support/kube/audit.ts";

/** Writes that the API server took from a controller that was not the last to write the Lease, or not all the time. */
export function writesWithoutTerm(writes: readonly AuditedWrite[]): AuditedWrite[] {
  const taken = writes.filter(({ code, user }) => code < 400 && user.startsWith("system:serviceaccount:"));
  const leases = taken.filter(({ resource }) => resource === "leases").toSorted((a, b) => (a.to < b.to ? -1 : 1));
  return taken.filter(({ resource, user, from, to }) => {
    if (resource === "leases") return false;
    const before = leases.findLast((lease) => lease.to <= from);
    const meanwhile = leases.filter((lease) => lease.to > from && lease.from < to);
    return before?.user !== user || meanwhile.some((lease) => lease.user !== user);
  });
}
