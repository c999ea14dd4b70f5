import type { Client } from '../../api/client';
import { readEvents } from '../../api/events';
import type { Message } from '../../api/sse';

export type LiveState = 'connecting' | 'live' | 'offline';

const longestPause = 15_000;

type Listener = (type: string, data: unknown) => void;

/**
 * Live is the stream of events. It connects again by itself, and asks for what
 * it missed; listeners of resync are told when it was away, because progress is
 * not kept for those who were not there.
 */
export class Live {
  state = $state<LiveState>('connecting');
  private readonly listeners = new Set<Listener>();
  private readonly resyncs = new Set<() => void>();
  private stop: AbortController | undefined;
  private lastID = '';
  private wake: () => void = () => undefined;

  constructor(private readonly client: Client) {}

  /** on calls fn with every event until the returned function is called. */
  on(fn: Listener): () => void {
    this.listeners.add(fn);
    return () => this.listeners.delete(fn);
  }

  onResync(fn: () => void): () => void {
    this.resyncs.add(fn);
    return () => this.resyncs.delete(fn);
  }

  /** start connects, and connects again, until the returned function is called. */
  start(): () => void {
    const stop = new AbortController();
    this.stop = stop;
    this.lastID = '';
    this.state = 'connecting';
    const online = () => this.wake();
    window.addEventListener('online', online);
    void this.run(stop.signal).finally(() => window.removeEventListener('online', online));
    return () => stop.abort();
  }

  private async run(signal: AbortSignal): Promise<void> {
    let tries = 0;
    while (!signal.aborted) {
      const problem = await readEvents(this.client, '/v1/events', {
        signal,
        headers: this.lastID ? { 'Last-Event-ID': this.lastID } : {},
        opened: () => {
          this.state = 'live';
          if (tries > 0) for (const fn of this.resyncs) fn();
          tries = 0;
        },
        take: (message) => this.take(message),
      });
      if (signal.aborted || problem?.status === 401 || problem?.status === 403) return;
      tries++;
      // One lost connection is not worth a word: a server that restarts is back at once.
      this.state = tries > 1 ? 'offline' : 'connecting';
      await this.pause(Math.min(longestPause, 500 * 2 ** Math.min(tries, 6)) * (0.7 + Math.random() * 0.6));
    }
  }

  private take(message: Message): void {
    if (message.id) this.lastID = message.id;
    let json: unknown;
    try {
      json = JSON.parse(message.data);
    } catch {
      return;
    }
    // A kept event is an envelope; what is only of the moment comes bare.
    const data = typeof json === 'object' && json !== null && 'data' in json && 'type' in json ? json.data : json;
    for (const fn of this.listeners) fn(message.type, data);
  }

  private pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      const done = () => {
        clearTimeout(timer);
        resolve();
      };
      this.wake = done;
      this.stop?.signal.addEventListener('abort', done, { once: true });
    });
  }
}
