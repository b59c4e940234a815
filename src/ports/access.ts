/** Somebody who asks over HTTP. */
export interface Caller {
  /** As the log names them: the name beside a token, a Kubernetes user, or `local`. */
  readonly name: string;
  readonly groups?: readonly string[];
}

/** What a request is about, in the words of Kubernetes' authorization. */
export interface Action {
  /** get and list are of the role `read`, update is `operate`. */
  readonly verb: "get" | "list" | "update";
  readonly resource: "configrepos" | "configapps" | "confighosts";
  /** `secrets`: contents of files that `.gitattributes` call secret. */
  readonly subresource?: "secrets";
  /** Files of one app and nothing else: all that the role `pull` is for. In Kubernetes that is no right of its own. */
  readonly files?: true;
  /** Name of the repo that it is about; all repos when absent. */
  readonly repo?: string;
}

/** Who may do what over HTTP. */
export interface Access {
  /**
   * Who presents this token; undefined when nobody known does. With `asks: false` by what is known here, nobody else is
   * asked then. Rejects when that cannot be found out now.
   */
  authenticate(token: string, how?: { readonly asks: boolean }): Promise<Caller | undefined>;
  /** Whether a caller that this object gave may do it. Rejects when that cannot be found out now. */
  may(caller: Caller, action: Action): Promise<boolean>;
}
