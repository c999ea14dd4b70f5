import { describe, expect, it } from 'vitest';
import { SSEParser, type Message } from './sse';

const read = (...parts: string[]): Message[] => {
  const parser = new SSEParser();
  return parts.flatMap((part) => parser.push(part));
};

describe('SSEParser', () => {
  it.each<[string, string, Message[]]>([
    ['a whole message', 'id: 7\nevent: asset.ready\ndata: {"a":1}\n\n', [{ type: 'asset.ready', data: '{"a":1}', id: '7' }]],
    ['several lines of data', 'data: a\ndata: b\n\n', [{ type: 'message', data: 'a\nb', id: '' }]],
    ['one space only is cut', 'data:  a\n\ndata:b\n\n', [{ type: 'message', data: ' a', id: '' }, { type: 'message', data: 'b', id: '' }]],
    ['comments and unknown fields', ': hello\n\nretry: 3\nodd\ndata: a\n\n', [{ type: 'message', data: 'a', id: '' }]],
    ['an empty line of data', 'data\n\n', [{ type: 'message', data: '', id: '' }]],
    ['no data, no message', 'event: a\n\ndata: b\n\n', [{ type: 'message', data: 'b', id: '' }]],
    ['ids stay until the next', 'id: 1\ndata: a\n\ndata: b\n\n', [{ type: 'message', data: 'a', id: '1' }, { type: 'message', data: 'b', id: '1' }]],
    ['a message that does not end', 'data: a\n', []],
    ['a byte order mark', '\uFEFFdata: a\n\n', [{ type: 'message', data: 'a', id: '' }]],
    ['lines of Windows and of old Macs', 'data: a\r\ndata: b\r\n\r\ndata: c\r\r', [{ type: 'message', data: 'a\nb', id: '' }, { type: 'message', data: 'c', id: '' }]],
  ])('reads %s', (_, text, want) => {
    // The last carriage return waits for what follows it.
    expect(read(text, 'x')).toEqual(want);
  });

  it('reads the same wherever the stream is cut', () => {
    const text = 'id: 1\r\nevent: a\r\ndata: 流云\r\n\r\n: beat\n\ndata: b\ndata: c\n\n';
    const want = read(text);
    expect(want).toHaveLength(2);
    for (let i = 0; i <= text.length; i++) {
      for (let j = i; j <= text.length; j++) {
        expect(read(text.slice(0, i), text.slice(i, j), text.slice(j))).toEqual(want);
      }
    }
  });

  it('gives up on a message without an end', () => {
    const parser = new SSEParser();
    const part = `data: ${'x'.repeat(1 << 20)}\n`;
    expect(() => {
      for (let i = 0; i < 8; i++) parser.push(part);
    }).toThrow(RangeError);
  });
});
