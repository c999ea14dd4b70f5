// Which of the requests that pass by a person wants to see.
import type { SeenRequest } from '../../api/types';

export interface Filter {
  /** '', or the first digit of the status */
  readonly status: string;
  readonly cache: string;
  readonly text: string;
}

/** matches reports whether a request is one of those that are asked for. */
export function matches(r: SeenRequest, { status, cache, text }: Filter): boolean {
  if (status && !String(r.status).startsWith(status)) return false;
  if (cache && r.cache !== cache) return false;
  const wanted = text.trim().toLowerCase();
  return wanted === '' || `${r.method} ${r.host}${r.path} ${r.edge} ${r.client}`.toLowerCase().includes(wanted);
}

/** isRequest tells a whole request from what a newer or broken server sends. */
export function isRequest(data: unknown): data is SeenRequest {
  if (typeof data !== 'object' || data === null) return false;
  const r = data as Record<string, unknown>;
  return ['at', 'edge', 'client', 'method', 'host', 'path', 'cache'].every((k) => typeof r[k] === 'string') && ['status', 'bytes', 'seconds'].every((k) => typeof r[k] === 'number');
}

/** newest puts what has come before what is there, and keeps the most that are shown. */
export function newest<T>(come: readonly T[], there: readonly T[], most: number): readonly T[] {
  return come.length >= most ? come.slice(-most).reverse() : [...[...come].reverse(), ...there].slice(0, most);
}
