/** Diablo for other pages of the same site: `import { Diablo } from "./diablo.js"`. */

/** Options of a run, the keys of run.toml; those without a value have the command line's defaults. */
export interface RunOptions {
  /** A path that `load` or `demo` gave. */
  model?: string;
  /** A path that `rows` or `demo` gave. */
  data?: string;
  /** The run's folder; runs are kept by the browser where it lets a page keep anything. */
  out?: string;
  method?: "diablo" | "lora" | "full";
  blocks?: number | string;
  rank?: number;
  alpha?: number;
  targets?: string[];
  steps?: number;
  epochs?: number;
  batch_size?: number;
  accumulate?: number;
  seq_len?: number;
  lr?: number;
  schedule?: "constant" | "linear" | "cosine";
  warmup?: number;
  weight_decay?: number;
  max_grad_norm?: number;
  seed?: number;
  /** "auto", "gpu" or "cpu". */
  device?: string;
  [key: string]: unknown;
}

/** Something that happened in a run. `event` says what; a line of metrics.jsonl is a "step". */
export type RunEvent =
  | { event: "started"; steps: number; first_step: number; device: string; [key: string]: unknown }
  | { event: "step"; step: number; loss: number; grad_norm: number; lr: number; tokens: number; tokens_per_second: number; epoch: number }
  | { event: "eval"; step: number; loss: number; perplexity: number; best: boolean }
  | { event: "sample"; step: number; prompt: string; text: string }
  | { event: "note" | "warning"; text: string }
  | { event: "loading" | "tokenizing" | "progress" | "checkpoint"; [key: string]: unknown };

/** How a run ended. */
export interface Ended {
  steps: number;
  /** Whether it was stopped. */
  interrupted: boolean;
  best_eval_loss: number | null;
  last_eval_loss: number | null;
  seconds: number;
  tokens: number;
  /** The run's folder: the `adapter` of `generate`. */
  run: string;
}

export interface Prompt {
  model: string;
  prompt: string;
  /** A run's folder; without one the model itself answers. */
  adapter?: string;
  maxNewTokens?: number;
  /** 0 takes the most likely token. */
  temperature?: number;
  /** 0 takes all. */
  topK?: number;
  /** 1 takes all. */
  topP?: number;
  seed?: number;
  device?: string;
  /** Hears the text as it comes. */
  onText?: (text: string) => void;
}

/** What went wrong, and what to do about it. */
export class DiabloError extends Error {
  readonly hint: string;
}

/** A trainer in a worker of its own. All methods that can fail reject with a DiabloError. */
export class Diablo extends EventTarget {
  constructor();
  /** What can compute here. `chosen` is null where that is the processor, and `why` says why. */
  devices(): Promise<{ adapters: object[]; chosen: number | null; why: string }>;
  /** The demo's options, its model and its rows with them. */
  demo(method?: "diablo" | "lora" | "full"): Promise<RunOptions & { model: string; data: string }>;
  /** Brings a model here: the address of its folder on this site, or its files. */
  load(model: string | Iterable<File>): Promise<string>;
  /** Brings rows here: the address of a file on this site, a file, or the rows themselves. */
  rows(data: string | File | { prompt: string; completion: string }[]): Promise<string>;
  /** Trains until the run ends. One run at a time. */
  train(options: RunOptions, how?: { resume?: boolean; onEvent?: (event: RunEvent) => void }): Promise<Ended>;
  pause(): void;
  continue(): void;
  /** One step, then stands still. */
  step(): void;
  /** Saves and ends the run. */
  stop(): void;
  /** Continues a text. Kept with the whole continuation. */
  generate(prompt: Prompt): Promise<string>;
  /** A run's adapter, merged weights, or folder, as the bytes of a .tar file; or the merged model as those of a .gguf file. */
  download(
    run: string,
    parcel?: "adapter" | "merged" | "gguf" | "run",
    dtype?: "f32" | "bf16" | "f16" | "q8_0" | "q4_0" | null,
  ): Promise<{ name: string; bytes: Uint8Array }>;
  /** A file that a run wrote. */
  read(path: string): Promise<Uint8Array>;
  /** Ends the worker; what runs have saved stays. */
  close(): void;
}

/** `<diablo-trainer>`: see api.js. Events: diablo-event (RunEvent), diablo-end (Ended), diablo-error (DiabloError). */
export class DiabloTrainer extends HTMLElement {
  readonly diablo: Diablo | undefined;
}

declare global {
  interface HTMLElementTagNameMap {
    "diablo-trainer": DiabloTrainer;
  }
}
