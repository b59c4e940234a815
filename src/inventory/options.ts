/** The inventory part of a ConfigRepo; exactly one kind is set. */
export interface InventoryOptions {
  /** Env in Git -> env asked of the CMDB. */
  readonly envAliases: Readonly<Record<string, string>>;
  readonly maxShrinkPercent: number;
  readonly http?: HttpOptions | undefined;
  readonly httpSD?: HttpSdOptions | undefined;
  readonly file?: { readonly path: string } | undefined;
  readonly static?: readonly StaticGroup[] | undefined;
}

export interface HttpOptions {
  readonly url: string;
  readonly secretRef?: { readonly name: string } | undefined;
  /** JMESPath. */
  readonly hosts: string;
}

export interface HttpSdOptions {
  readonly url: string;
  readonly secretRef?: { readonly name: string } | undefined;
  /** Names of the labels that hold mod, env and app. */
  readonly labels: { readonly mod: string; readonly env: string; readonly app: string };
}

export interface StaticGroup {
  readonly mod?: string | undefined;
  readonly env?: string | undefined;
  readonly app: string;
  readonly hosts: readonly (string | StaticHost)[];
}

export interface StaticHost {
  readonly address: string;
  readonly port?: number | undefined;
  readonly user?: string | undefined;
  readonly root?: string | undefined;
}
