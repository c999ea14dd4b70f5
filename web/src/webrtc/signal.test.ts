import { describe, expect, it } from 'vitest';
import { iceServers, startRate, stereo } from './signal';

describe('iceServers', () => {
  it('reads what the server says', () => {
    const link =
      '<turn:live.example.org:3478?transport=udp>; rel="ice-server"; username="1:a"; credential="b/c="; credential-type="password", ' +
      '<stun:stun.example.org>; rel="ice-server", <https://example.org/>; rel="next"';
    expect(iceServers(link)).toEqual([{ urls: 'turn:live.example.org:3478?transport=udp', username: '1:a', credential: 'b/c=' }, { urls: 'stun:stun.example.org' }]);
  });
  it('finds none where there are none', () => expect(iceServers(null)).toEqual([]));
});

describe('descriptions', () => {
  const sdp = 'v=0\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:102 H264/90000\r\na=fmtp:102 packetization-mode=1\r\na=fmtp:103 apt=102\r\n';
  it('ask for both channels, once', () => {
    const asked = stereo(sdp);
    expect(asked).toContain('a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1\r\n');
    expect(stereo(asked)).toBe(asked);
    expect(stereo('v=0\r\n')).toBe('v=0\r\n');
  });
  it('begin with a rate', () => expect(startRate(sdp, 2_500_000)).toContain('a=fmtp:102 packetization-mode=1;x-google-start-bitrate=2500\r\na=fmtp:103 apt=102\r\n'));
});
