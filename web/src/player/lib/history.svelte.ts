import type { Session, Stats } from './session.svelte';

export const samplePeriod = 500; // milliseconds
export const historyLength = 120; // one minute

/** History samples the statistics twice a second, so that a plot has a past when it opens. */
export class History {
  latest = $state.raw<Stats | undefined>();
  samples = $state.raw<readonly Stats[]>([]);

  constructor(private readonly session: Session) {}

  /** start samples until the returned function is called. */
  start(): () => void {
    const timer = setInterval(() => this.sample(), samplePeriod);
    return () => clearInterval(timer);
  }

  private sample(): void {
    this.latest = this.session.stats();
    this.samples = [...this.samples.slice(1 - historyLength), this.latest];
  }
}
