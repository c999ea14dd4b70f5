// What pages do that publish and watch by WebRTC. Each function runs in a page, alone.

/** publish sends a clock, or what the fake camera shows, and a tone: in two sizes at once. */
export async function publish({ url, key, clock = false }) {
  const [width, height, bits, cell] = [640, 360, 24, 24];
  const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: !clock });
  let picture = media.getVideoTracks()[0];
  if (clock) {
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width, height });
    const paint = canvas.getContext('2d');
    let turn = 0;
    const draw = () => {
      // The time of day in milliseconds as cells of black and white, below something that moves.
      const now = Date.now() % 2 ** bits;
      paint.fillStyle = `hsl(${turn * 7 % 360} 60% 50%)`;
      paint.fillRect(0, 0, width, height);
      paint.fillStyle = '#123';
      paint.fillRect((turn++ * 11) % width, 150, 80, 120);
      for (let i = 0; i < bits; i++) {
        paint.fillStyle = now & 1 << i ? '#fff' : '#000';
        paint.fillRect(i * cell, 40, cell, cell * 2);
      }
    };
    draw();
    setInterval(draw, 1000 / 30);
    picture = canvas.captureStream(30).getVideoTracks()[0];
  }
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  // Chromium makes two of pictures of this size, not more.
  const layers = [{ rid: 'l', scaleResolutionDownBy: 2, maxBitrate: 300_000 }, { rid: 'h', maxBitrate: 1_500_000 }];
  const video = pc.addTransceiver(picture, { direction: 'sendonly', sendEncodings: layers });
  video.setCodecPreferences(RTCRtpSender.getCapabilities('video').codecs.filter((c) => /h264|rtx/i.test(c.mimeType)));
  pc.addTransceiver(media.getAudioTracks()[0], { direction: 'sendonly' });
  await pc.setLocalDescription();
  const authorization = { Authorization: `Bearer ${key}` };
  const response = await fetch(url, { method: 'POST', headers: { ...authorization, 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp });
  const sdp = await response.text();
  if (response.status !== 201) return { status: response.status, text: sdp };
  const session = new URL(response.headers.get('Location'), url);
  window.leave = async () => {
    await fetch(session, { method: 'DELETE', headers: authorization });
    pc.close();
  };
  await pc.setRemoteDescription({ type: 'answer', sdp: sdp.replace(/(a=fmtp:\d+ [^\r\n]*packetization-mode=1[^\r\n]*)/g, '$1;x-google-start-bitrate=2000') });
  for (let i = 0; i < 300 && pc.connectionState !== 'connected'; i++) await new Promise((resolve) => setTimeout(resolve, 100));
  return { status: 201, state: pc.connectionState };
}

/** watch sees that many pictures and reads the clock in them. */
export async function watch({ url, pictures }) {
  const [bits, cell] = [24, 24];
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  for (const kind of ['video', 'audio']) pc.addTransceiver(kind, { direction: 'recvonly' });
  const video = Object.assign(document.createElement('video'), { autoplay: true, muted: true });
  document.body.append(video);
  const media = (video.srcObject = new MediaStream());
  pc.ontrack = ({ track, receiver }) => {
    media.addTrack(track);
    receiver.jitterBufferTarget = 0;
  };
  await pc.setLocalDescription();
  const begun = performance.now();
  const response = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp });
  const sdp = await response.text();
  if (response.status !== 201) return { status: response.status, text: sdp };
  const session = new URL(response.headers.get('Location'), url);
  window.leave = async () => {
    await fetch(session, { method: 'DELETE' });
    pc.close();
  };
  await pc.setRemoteDescription({ type: 'answer', sdp });
  const canvas = new OffscreenCanvas(640, 360);
  const paint = canvas.getContext('2d', { willReadFrequently: true });
  const next = () => new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no picture came: the connection is ${pc.connectionState}`)), 20_000);
    video.requestVideoFrameCallback(() => resolve(clearTimeout(late)));
  });
  await next();
  const begins = performance.now() - begun;
  const delays = [];
  let [last, backwards, height] = [0, 0, 0];
  for (let n = 0; n < pictures; n++) {
    await next();
    const now = Date.now() % 2 ** bits;
    height = video.videoHeight;
    paint.drawImage(video, 0, 0, canvas.width, canvas.height);
    const row = paint.getImageData(0, 40 + cell, bits * cell, 1).data;
    let value = 0;
    for (let i = 0; i < bits; i++) if (row[(i * cell + cell / 2) * 4] > 128) value |= 1 << i;
    if (value < last && last - value < 2 ** (bits - 1)) backwards++;
    last = value;
    if (n >= pictures / 3) delays.push((now - value + 2 ** bits) % 2 ** bits); // once it has settled
  }
  delays.sort((a, b) => a - b);
  const at = (share) => delays[Math.floor(delays.length * share)];
  const stats = [...(await pc.getStats()).values()].find((s) => s.type === 'inbound-rtp' && s.kind === 'audio');
  return { status: 201, begins, height, backwards, sound: stats?.packetsReceived ?? 0, delay: { p50: at(0.5), p95: at(0.95) } };
}

/** offer asks for pictures, and returns the answer and the port that is in it. */
export async function offer({ url }) {
  const pc = (window.pc = new RTCPeerConnection());
  pc.addTransceiver('video', { direction: 'recvonly' });
  await pc.setLocalDescription();
  const response = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp });
  const sdp = await response.text();
  if (response.status !== 201) throw new Error(`${response.status}: ${sdp}`);
  return { sdp, port: Number(/^a=candidate:\S+ 1 udp \d+ \S+ (\d+) typ host/im.exec(sdp)[1]) };
}

/** accept takes an answer, and the pictures by another port of this machine and no other. */
export async function accept({ sdp, port }) {
  const video = Object.assign(document.createElement('video'), { autoplay: true, muted: true });
  document.body.append(video);
  window.pc.ontrack = ({ track }) => (video.srcObject = new MediaStream([track]));
  window.seen = () => video.getVideoPlaybackQuality().totalVideoFrames;
  const only = `a=candidate:1 1 udp 2130706431 127.0.0.1 ${port} typ host\r\n`;
  const [head, ...media] = sdp.replace(/^a=(candidate|end-of-candidates).*\r\n/gm, '').split(/^(?=m=)/m);
  await window.pc.setRemoteDescription({ type: 'answer', sdp: head + media.map((m) => m + only).join('') });
}
