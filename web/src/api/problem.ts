import type { components } from './schema';

type Body = Partial<components['schemas']['Problem']>;

/**
 * Problem is what a request ends in when it does not succeed: the server's
 * problem+json (RFC 9457), or status 0 when there was no answer.
 */
export class Problem extends Error {
  override readonly name = 'Problem';

  constructor(
    readonly status: number,
    readonly code: string,
    /** what is wrong and what to do, in the server's words; may be empty */
    readonly detail: string,
    readonly fields: readonly { location?: string; message: string }[] = [],
  ) {
    super(detail || code || `HTTP ${status}`);
  }
}

/** offline is the Problem of a request that got no answer. */
export function offline(cause?: unknown): Problem {
  return new Problem(0, 'offline', cause instanceof Error ? cause.message : '');
}

/** readProblem makes a Problem of an answer's status and body, whatever the body is. */
export function readProblem(status: number, body: string): Problem {
  let found: Body = {};
  try {
    const json: unknown = JSON.parse(body);
    if (typeof json === 'object' && json !== null) found = json;
  } catch {
    // A proxy's page: the status has to say it.
  }
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  const fields = Array.isArray(found.errors) ? found.errors.filter((e) => typeof e?.message === 'string') : [];
  return new Problem(status, text(found.code), text(found.detail) || text(found.title), fields);
}
