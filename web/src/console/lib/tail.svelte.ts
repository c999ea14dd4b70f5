import type { Client } from '../../api/client';
import { readEvents } from '../../api/events';
import type { Problem } from '../../api/problem';
import type { SeenRequest } from '../../api/types';
import { isRequest, newest } from './requests';

/** How many requests are kept; older ones go. */
export const mostRequests = 200;
const showEvery = 250; // milliseconds: edges tell faster than anybody reads
const again = 2000;

export interface Row extends SeenRequest {
  readonly row: number;
}

/** Tail is the requests of a site as edges answer them, the newest first. It connects again by itself. */
export class Tail {
  rows = $state.raw<readonly Row[]>([]);
  running = $state(false);
  connected = $state(false);
  /** what is shown stays as it is; what comes meanwhile waits, mostRequests at the most */
  paused = $state(false);
  waiting = $state(0);
  problem = $state.raw<Problem | undefined>();
  private come: Row[] = [];
  private last = 0;
  private stop: AbortController | undefined;

  constructor(
    private readonly client: Client,
    private readonly site: string,
  ) {}

  start(): void {
    if (this.running) return;
    this.running = true;
    this.paused = false;
    this.problem = undefined;
    const stop = (this.stop = new AbortController());
    const timer = setInterval(() => this.show(), showEvery);
    void this.run(stop.signal).finally(() => {
      clearInterval(timer);
      if (this.stop === stop) this.running = this.connected = false;
    });
  }

  end(): void {
    this.stop?.abort();
    this.stop = undefined;
    this.running = this.connected = this.paused = false;
    this.show();
  }

  pause(): void {
    this.paused = !this.paused;
    this.show();
  }

  clear(): void {
    this.come = [];
    this.rows = [];
    this.waiting = 0;
  }

  private async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const problem = await readEvents(this.client, `/v1/sites/${this.site}/requests`, {
        signal,
        opened: () => (this.connected = true),
        take: ({ data }) => this.take(data),
      });
      if (signal.aborted) return;
      this.connected = false;
      if (problem) {
        this.problem = problem;
        return;
      }
      await new Promise((done) => {
        setTimeout(done, again);
        signal.addEventListener('abort', done, { once: true });
      });
    }
  }

  private take(text: string): void {
    let data: unknown;
    try {
      data = JSON.parse(text);
    } catch {
      return;
    }
    if (!isRequest(data)) return;
    this.come.push({ ...data, row: ++this.last });
    if (this.come.length > mostRequests) this.come.shift();
  }

  private show(): void {
    if (this.paused) {
      this.waiting = this.come.length;
      return;
    }
    this.waiting = 0;
    if (this.come.length === 0) return;
    this.rows = newest(this.come, this.rows, mostRequests);
    this.come = [];
  }
}
