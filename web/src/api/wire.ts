import { offline } from './problem';

export interface WireRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Blob;
  /** how many bytes of body have left */
  readonly sent?: (bytes: number) => void;
  readonly signal: AbortSignal;
}

export interface WireAnswer {
  readonly status: number;
  header(name: string): string | null;
  readonly text: string;
}

/** Wire makes one HTTP exchange; it rejects with a Problem of status 0 when there is no answer. */
export type Wire = (request: WireRequest) => Promise<WireAnswer>;

/** xhrWire is for browsers: fetch cannot say how much of a body has left. */
export const xhrWire: Wire = ({ method, url, headers, body, sent, signal }) =>
  new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const xhr = new XMLHttpRequest();
    const abort = () => xhr.abort();
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    if (sent) xhr.upload.onprogress = (event) => sent(event.loaded);
    xhr.onload = () => resolve({ status: xhr.status, header: (name) => xhr.getResponseHeader(name), text: xhr.responseText });
    xhr.onerror = () => reject(offline());
    xhr.onabort = () => reject(signal.reason);
    xhr.onloadend = () => signal.removeEventListener('abort', abort);
    signal.addEventListener('abort', abort);
    xhr.send(body ?? null);
  });
