import { createContext } from 'svelte';
import type { Client } from '../../api/client';
import { Problem } from '../../api/problem';
import type { Session } from '../../api/types';
import type { Live } from './live.svelte';
import type { Router } from './router.svelte';
import type { Toasts } from './toasts.svelte';
import type { Uploads } from './uploads.svelte';
import type { Words } from './words.svelte';

/** What every page of a signed-in viewer uses. */
export interface Console {
  readonly client: Client;
  readonly live: Live;
  readonly router: Router;
  readonly toasts: Toasts;
  readonly uploads: Uploads;
  readonly session: Session;
}

export const [getConsole, setConsole] = createContext<Console>();

/** may reports whether the session has a scope. */
export function may(session: Session, scope: string): boolean {
  return session.scopes.includes('admin') || session.scopes.includes(scope);
}

/** sentence begins as a sentence does what the server says as a part of one. */
const sentence = (text: string): string => (/^[a-z]+ /.test(text) ? text[0]!.toUpperCase() + text.slice(1) : text);

/** explain says what went wrong in the viewer's language where the server has said nothing. */
export function explain(error: unknown, { t }: Words): string {
  if (!(error instanceof Problem)) return t('problemUnknown', { detail: String(error) });
  if (error.status === 0) return error.code === 'unreadable' ? t('problemUnreadable') : t('problemOffline');
  const fields = error.fields.map((f) => [f.location?.replace(/^body\./, ''), f.message].filter(Boolean).join(': '));
  const text = [sentence(error.detail), ...fields].filter(Boolean).join(' ');
  return text || t('problemStatus', { status: error.status });
}
