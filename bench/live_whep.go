package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"liuyun/internal/flow/peer/onlooker"
)

// whepViewers is how many are sent a stream by WebRTC.
const whepViewers = 50

// mediamtxWHEPConfig is MediaMTX with what it takes to push by RTSP, which brings Opus
// to it, and to watch by WHEP.
const mediamtxWHEPConfig = `
logLevel: warn
rtspAddress: %s
rtspTransports: [tcp]
rtmp: no
hls: no
srt: no
webrtcAddress: %s
webrtcLocalUDPAddress: %s
webrtcIPsFromInterfaces: no
webrtcAdditionalHosts: [127.0.0.1]
paths:
  all_others:
`

// measureLiveWHEP compares the cost of WebRTC with MediaMTX's.
func measureLiveWHEP(ctx context.Context, b *bench) ([]result, error) {
	r, err := b.compareLive(ctx, liuyunWHEP, mediamtxWHEP, watchWHEP, whepViewers)
	if err != nil {
		return nil, err
	}
	r.Clip, r.Bar = fmt.Sprintf("WHEP, %d viewers at %d Mbit/s", whepViewers, liveBitrate/1_000_000), 1
	return []result{r}, nil
}

func watchWHEP(ctx context.Context, s *liveServer, got *atomic.Int64) error {
	return onlooker.Watch(ctx, s.whep, func(bytes int64) { got.Add(bytes) })
}

// opusClip is a clip with its sound as WebRTC has it, so that nobody has to make it.
func (b *bench) opusClip(ctx context.Context, clip string) (string, error) {
	return b.cached(ctx, "live-opus.mp4", []string{clip}, []string{"-i", clip, "-c:v", "copy", "-c:a", "libopus", "-b:a", "128k"})
}

// liuyunWHEP is ours, which a clip is pushed to by RTSP.
func liuyunWHEP(ctx context.Context, b *bench, clip string) (*liveServer, error) {
	clip, err := b.opusClip(ctx, clip)
	if err != nil {
		return nil, err
	}
	return b.liuyunOnAir(ctx, clip, func(one oneStream) string { return one.rtsp }, awaitWatch(watchWHEP))
}

// mediamtxWHEP is MediaMTX, which a clip is pushed to by RTSP.
func mediamtxWHEP(ctx context.Context, b *bench, clip string) (*liveServer, error) {
	clip, err := b.opusClip(ctx, clip)
	if err != nil {
		return nil, err
	}
	path, err := b.mediamtxPath()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	l := &liveServer{name: mediamtxName, whep: "http://" + ports[1] + "/live/whep"}
	config := fmt.Sprintf(mediamtxWHEPConfig, ports[0], ports[1], ports[2])
	if err := b.startPeer(ctx, l, ports[0], "mediamtx.yml", config, func(config string) []string { return []string{path, config} }); err != nil {
		return nil, err
	}
	return l, b.onAir(ctx, l, clip, "rtsp://"+ports[0]+"/live", awaitWatch(watchWHEP))
}
