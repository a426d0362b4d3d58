/** One service manager, and the service that this home has or would have with it. */
export type ServiceKind = 'systemd' | 'launchd' | 'windows';

export interface ServiceState {
  /** Starts by itself at login (with lingering: at boot). */
  enabled: boolean;
  running: boolean;
  /** Of the daemon that the manager runs. */
  pid: number | null;
  /** Whether the user's services run without a login; null where there is no such thing, or it is not known. */
  linger: boolean | null;
  /** The manager's own words for the state, such as `failed` or `auto-restart`. */
  detail: string;
}

export interface ServiceManager {
  readonly kind: ServiceKind;
  readonly name: string;
  /** Where its file is or would be. */
  readonly file: string;
  /** The files that it would run. */
  readonly program: readonly string[];
  /** What the file should hold. */
  content(): Promise<string>;
  /** Throws `failed`, with a way out, where no manager answers. */
  check(): Promise<void>;
  /** Writes the file and makes the service start by itself from now on; does not start it. */
  install(): Promise<void>;
  start(): Promise<void>;
  /** Stops the daemon, never its sessions. */
  stop(): Promise<void>;
  /** Takes the service and its file away. */
  remove(): Promise<void>;
  /** What the files say, and `running: false` with the reason, where no manager answers. */
  state(): Promise<ServiceState>;
  /** The last lines that the daemon wrote, where the manager keeps them. */
  lastWords(): Promise<string>;
  /** Lets the user's services run without a login. Undefined where there is no such thing. */
  readonly enableLinger?: () => Promise<void>;
}
