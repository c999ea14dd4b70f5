// Resumable uploads: a client of tus 1.0.0 (https://tus.io/protocols/resumable-upload)
// with the creation and termination extensions.

import { offline, Problem, readProblem } from './problem';
import type { Wire, WireAnswer } from './wire';

export interface TusOptions {
  readonly file: Blob;
  /** where uploads are made */
  readonly endpoint: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** what each request carries besides */
  readonly headers: Readonly<Record<string, string>>;
  readonly wire: Wire;
  /** an upload that was begun earlier */
  readonly url?: string | undefined;
  /** bytes a request; 32 MiB unless told */
  readonly chunk?: number;
  /** how long to wait before try n, in milliseconds */
  readonly pause?: (tries: number) => number;
}

/** What an upload tells while it runs. */
export interface TusListener {
  /** the server has made the upload: keep url to go on with it later */
  made(url: string, asset: string): void;
  /** bytes that have left; at rest this is what the server acknowledged */
  progress(sent: number): void;
  /** a passing problem, after which it tries again by itself; undefined when it goes on */
  stalled(problem: Problem | undefined): void;
}

const version = { 'Tus-Resumable': '1.0.0' };
const defaultChunk = 32 << 20;
/** Tries in a row that bring no byte further. No connection and a full disk are waited for without end. */
const maxTries = 8;
const longestPause = 30_000;

/**
 * Tus sends one file. run may be called again after it was aborted or failed: it
 * asks the server how far it is and goes on from there. An upload that the
 * server no longer knows is begun anew.
 */
export class Tus {
  url: string | undefined;
  private offset = 0;

  constructor(
    private readonly options: TusOptions,
    private readonly listener: TusListener,
  ) {
    this.url = options.url;
  }

  /** run resolves when the server has every byte. It rejects with a Problem, or when signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { file, pause = backOff } = this.options;
    for (let tries = 0; ; tries++) {
      try {
        if (this.url === undefined) await this.make(signal);
        else await this.find(signal);
        this.listener.stalled(undefined);
        while (this.offset < file.size) {
          await this.send(signal);
          tries = 0;
        }
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof Problem)) throw error;
        if (this.url !== undefined && (error.status === 404 || error.status === 410)) {
          this.url = undefined; // it expired
          if (tries < maxTries) continue;
        }
        const endless = error.status === 0 || error.status === 507;
        if (!passes(error, this.url) || (tries >= maxTries && !endless)) throw error;
        this.listener.progress(this.offset);
        this.listener.stalled(error);
        await sleep(pause(tries), signal);
      }
    }
  }

  /** remove tells the server to forget the upload. One that is gone already is no error. */
  async remove(signal: AbortSignal): Promise<void> {
    if (this.url === undefined) return;
    const answer = await this.exchange('DELETE', this.url, {}, signal);
    if (answer.status >= 300 && answer.status !== 404 && answer.status !== 410) throw readProblem(answer.status, answer.text);
  }

  private async make(signal: AbortSignal): Promise<void> {
    const { file, endpoint, metadata } = this.options;
    const headers = { 'Upload-Length': String(file.size), 'Upload-Metadata': encodeMetadata(metadata) };
    const answer = await this.exchange('POST', endpoint, headers, signal);
    const place = answer.header('Location');
    if (answer.status !== 201 || place === null) throw readProblem(answer.status, answer.text);
    // Only its path: a proxy in front may have another name than the server knows.
    const url = new URL(place, 'http://server.invalid/');
    const origin = /^https?:\/\/[^/]+/.exec(endpoint)?.[0] ?? '';
    this.url = origin + url.pathname + url.search;
    this.offset = 0;
    this.listener.made(this.url, answer.header('Liuyun-Asset') ?? url.pathname.split('/').pop() ?? '');
    this.listener.progress(0);
  }

  private async find(signal: AbortSignal): Promise<void> {
    const answer = await this.exchange('HEAD', this.url!, {}, signal);
    if (answer.status >= 300) throw readProblem(answer.status, answer.text);
    const length = answer.header('Upload-Length');
    if (length !== null && Number(length) !== this.options.file.size) {
      throw new Problem(409, 'conflict', 'This is not the file that the upload was begun with.');
    }
    this.take(answer);
  }

  private async send(signal: AbortSignal): Promise<void> {
    const { file, chunk = defaultChunk, headers, wire } = this.options;
    const start = this.offset;
    const answer = await wire({
      method: 'PATCH',
      url: this.url!,
      headers: { ...headers, ...version, 'Upload-Offset': String(start), 'Content-Type': 'application/offset+octet-stream' },
      body: file.slice(start, Math.min(start + chunk, file.size)),
      sent: (bytes) => this.listener.progress(start + bytes),
      signal,
    });
    if (answer.status >= 300) throw readProblem(answer.status, answer.text);
    this.take(answer);
    if (this.offset <= start) throw offline(new Error('the server took no byte'));
  }

  /** take believes the server's offset when it can be one. */
  private take(answer: WireAnswer): void {
    const offset = Number(answer.header('Upload-Offset') ?? NaN);
    if (!Number.isSafeInteger(offset) || offset < 0 || offset > this.options.file.size) {
      throw new Problem(502, 'unavailable', 'The server did not say how much of the file it has.');
    }
    this.offset = offset;
    this.listener.progress(offset);
  }

  private exchange(method: string, url: string, headers: Record<string, string>, signal: AbortSignal): Promise<WireAnswer> {
    const { wire, headers: always } = this.options;
    return wire({ method, url, headers: { ...always, ...version, ...headers }, signal });
  }
}

/** passes reports whether trying again later may help. */
function passes(problem: Problem, url: string | undefined): boolean {
  if (problem.status === 0 || problem.status >= 500 || problem.status === 429 || problem.status === 423) return true;
  // Another request of ours may not have ended at the server yet.
  return problem.status === 409 && url !== undefined && problem.code !== 'conflict';
}

const backOff = (tries: number): number => Math.min(longestPause, 1000 * 2 ** Math.min(tries, 5)) * (0.75 + Math.random() / 2);

/** sleep ends early when the browser says that there is a connection again. */
function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      globalThis.removeEventListener?.('online', done);
    };
    const done = () => {
      end();
      resolve();
    };
    const abort = () => {
      end();
      reject(signal.reason);
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', abort);
    globalThis.addEventListener?.('online', done);
  });
}

/** encodeMetadata writes Upload-Metadata: names with their values in base64 of UTF-8. */
export function encodeMetadata(metadata: Readonly<Record<string, string>>): string {
  return Object.entries(metadata)
    .map(([name, value]) => `${name} ${btoa(String.fromCharCode(...new TextEncoder().encode(value)))}`)
    .join(',');
}
