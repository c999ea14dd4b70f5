import type { Client } from './client';
import { readProblem, type Problem } from './problem';
import { SSEParser, type Message } from './sse';

/** The server sends a comment every 15 seconds; a stream that is silent for longer than this is dead. */
const silence = 40_000;

export interface Reader {
  readonly signal: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
  /** called when the server has begun to answer */
  readonly opened: () => void;
  readonly take: (message: Message) => void;
}

/**
 * readEvents reads one stream of events until it ends, for whatever reason, which is
 * undefined when it may be tried again and the Problem when the server refuses it. Who
 * is not signed in any more is told so by the client.
 */
export async function readEvents(client: Client, path: string, { signal, headers = {}, opened, take }: Reader): Promise<Problem | undefined> {
  const attempt = new AbortController();
  const abort = () => attempt.abort();
  signal.addEventListener('abort', abort);
  let timer = setTimeout(abort, silence);
  try {
    const sent = { ...client.headers(), Accept: 'text/event-stream', ...headers };
    const response = await fetch(path, { headers: sent, credentials: 'same-origin', cache: 'no-store', signal: attempt.signal });
    if (!response.ok || !response.body) {
      if (response.status === 401) client.signedOut();
      return response.status >= 400 && response.status < 500 ? readProblem(response.status, await response.text()) : undefined;
    }
    opened();
    const parser = new SSEParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return undefined;
      clearTimeout(timer);
      timer = setTimeout(abort, silence);
      for (const message of parser.push(value)) take(message);
    }
  } catch {
    return undefined; // no connection, silence or nonsense: all the same to the page
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    attempt.abort();
  }
}
