// Server-sent events over fetch: EventSource can neither send headers nor say
// why it was refused.

export interface Message {
  /** the event's name; "message" when it has none */
  readonly type: string;
  readonly data: string;
  /** the last id that the stream has said */
  readonly id: string;
}

/** The longest message that is kept: a stream that never ends a message is cut off. */
const maxMessage = 4 << 20;

/**
 * SSEParser reads a stream as the HTML standard (§9.2.6) says. Push it text as it
 * comes, cut anywhere; it gives the messages that are complete. It throws a
 * RangeError when one is longer than 4 MiB.
 */
export class SSEParser {
  private rest = '';
  private data: string[] = [];
  private type = '';
  private size = 0;
  private id = '';
  private begun = false;

  push(text: string): Message[] {
    if (!this.begun && text !== '') {
      this.begun = true;
      text = text.replace(/^\uFEFF/, '');
    }
    const all = this.rest + text;
    // A carriage return at the end may be the first half of a line's end.
    const end = all.endsWith('\r') ? all.length - 1 : all.length;
    const lines = all.slice(0, end).split(/\r\n|\n|\r/);
    this.rest = lines.pop()! + all.slice(end);
    const messages: Message[] = [];
    for (const line of lines) {
      const message = this.line(line);
      if (message) messages.push(message);
    }
    if (this.rest.length + this.size > maxMessage) throw new RangeError('a message of the event stream is too long');
    return messages;
  }

  private line(line: string): Message | undefined {
    if (line === '') return this.dispatch();
    const colon = line.indexOf(':');
    if (colon === 0) return undefined; // a comment
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') {
      this.data.push(value);
      this.size += value.length + 1;
    } else if (field === 'event') this.type = value;
    else if (field === 'id' && !value.includes('\0')) this.id = value;
    return undefined;
  }

  private dispatch(): Message | undefined {
    const { data, type, id } = this;
    this.data = [];
    this.type = '';
    this.size = 0;
    return data.length === 0 ? undefined : { type: type || 'message', data: data.join('\n'), id };
  }
}
