import { RESOURCES, type ResourceKind } from "./resources.ts";
import { ConfigRepo } from "./schema.ts";
import { type StructuralSchema, structuralSchema } from "./structural-schema.ts";

/**
 * The CustomResourceDefinitions, made of the schemas that parse the file. They hold on Kubernetes 1.20 and
 * on later ones, therefore without CEL rules: kubectl refuses to apply x-kubernetes-validations to a 1.20.
 *
 * A structural schema cannot make unknown keys errors: the API server drops them. kubectl refuses them by
 * name unless told --validate=false, and a server since 1.25 does for any request with fieldValidation=Strict
 * and warns about them otherwise; older servers drop them in silence.
 *
 * What only parseConfigRepo finds, as Ready=False/InvalidSpec with the path:
 * - names that are no DNS label (metadata.name)
 * - Git URLs: scheme, credentials, options in disguise; file URLs unless they are allowed
 * - branch names beyond their characters (`..`, `.lock`, `@{`)
 * - inventory URLs: scheme, credentials, placeholders; JMESPath that does not compile
 * - durations out of their bounds; their form is checked here
 * - elements of static[].hosts, which are text or an object
 * - numeric owners in quotes that are too large
 */
export interface CustomResourceDefinition {
  readonly apiVersion: "apiextensions.k8s.io/v1";
  readonly kind: "CustomResourceDefinition";
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly group: string;
    readonly names: {
      readonly kind: string;
      readonly listKind: string;
      readonly plural: string;
      readonly singular: string;
      readonly shortNames: readonly string[];
      readonly categories: readonly string[];
    };
    readonly scope: "Namespaced";
    readonly versions: readonly CustomResourceVersion[];
  };
}

interface CustomResourceVersion {
  readonly name: string;
  readonly served: boolean;
  readonly storage: boolean;
  readonly subresources: { readonly status: Record<string, never> };
  readonly additionalPrinterColumns: readonly Column[];
  readonly schema: { readonly openAPIV3Schema: StructuralSchema };
}

interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "date";
  readonly jsonPath: string;
  readonly description: string;
}

const [GROUP = "", VERSION = ""] = ConfigRepo.shape.apiVersion.value.split("/");

const READY = '.status.conditions[?(@.type=="Ready")]';
const ready = column("Ready", "string", `${READY}.status`, "Whether all is as Git says.");
const status = column("Status", "string", `${READY}.message`, "Why, or how far it is.");
const age = column("Age", "date", ".metadata.creationTimestamp", "Since the object was made.");

const COLUMNS: Record<ResourceKind, readonly Column[]> = {
  ConfigRepo: [
    column("Revision", "string", ".status.revision", "The commit that hosts follow."),
    column("Apps", "integer", ".status.apps", "Apps in Git."),
    column("Hosts", "integer", ".status.hosts", "Hosts in the inventory."),
    column("Synced", "integer", ".status.synced", "Hosts whose apps are all as in Git."),
    ready,
    status,
    age,
  ],
  ConfigApp: [
    column("Mod", "string", ".spec.mod", "First folder of the app."),
    column("Env", "string", ".spec.env", "Second folder of the app."),
    column("App", "string", ".spec.app", "Third folder of the app."),
    column("Revision", "string", ".status.revision", "The revision that last changed the app."),
    column("Hosts", "integer", ".status.hosts.total", "Hosts that run the app."),
    column("Synced", "integer", ".status.hosts.synced", "Hosts that have what Git has."),
    column("Failed", "integer", ".status.hosts.failed", "Hosts on which it did not work."),
    ready,
    status,
    age,
  ],
  ConfigHost: [
    column("Address", "string", ".spec.address", "IP address or name."),
    column("Apps", "integer", ".status.total", "Apps that the inventory puts on the host."),
    column("Synced", "integer", ".status.synced", "Apps that are as in Git."),
    column("State", "string", ".status.state", "The worst state of its apps."),
    column("LastSync", "date", ".status.lastSyncAt", "Since an app was synced the last time."),
    age,
  ],
};

/** One for each kind, by the name that the API server uses in paths. */
export function customResourceDefinitions(): Map<string, CustomResourceDefinition> {
  const kinds = Object.keys(RESOURCES) as ResourceKind[];
  return new Map(kinds.map((kind) => [RESOURCES[kind].plural, definition(kind)]));
}

function definition(kind: ResourceKind): CustomResourceDefinition {
  const { plural, shortName } = RESOURCES[kind];
  const names = {
    kind,
    listKind: `${kind}List`,
    plural,
    singular: kind.toLowerCase(),
    shortNames: [shortName],
    categories: ["fssync"],
  };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${GROUP}` },
    spec: { group: GROUP, names, scope: "Namespaced", versions: [version(kind)] },
  };
}

function version(kind: ResourceKind): CustomResourceVersion {
  const { description, spec, status: statusSchema } = RESOURCES[kind];
  const schema: StructuralSchema = {
    description,
    type: "object",
    required: ["spec"],
    properties: {
      spec: structuralSchema(spec),
      status: structuralSchema(statusSchema),
    },
  };
  return {
    name: VERSION,
    served: true,
    storage: true,
    subresources: { status: {} },
    additionalPrinterColumns: COLUMNS[kind],
    schema: { openAPIV3Schema: schema },
  };
}

function column(name: string, type: Column["type"], jsonPath: string, description: string): Column {
  return { name, type, jsonPath, description };
}
