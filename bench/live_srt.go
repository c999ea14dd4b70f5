package main

import (
	"context"
	"fmt"
	"sync/atomic"
)

// srtReaders is how many are sent a stream by SRT: a server of ours takes no more than
// 64 from one address.
const srtReaders = 50

// mediamtxSRTConfig is MediaMTX with what it takes to push by RTMP and read by SRT.
const mediamtxSRTConfig = `
logLevel: warn
rtsp: no
rtmpAddress: %s
hls: no
webrtc: no
srtAddress: %s
paths:
  all_others:
`

// measureLiveSRT compares the cost of SRT with MediaMTX's.
func measureLiveSRT(ctx context.Context, b *bench) ([]result, error) {
	r, err := b.compareLive(ctx, liuyunSRT, mediamtxSRT, watchSRT, srtReaders)
	if err != nil {
		return nil, err
	}
	r.Clip, r.Bar = fmt.Sprintf("SRT, %d readers at %d Mbit/s", srtReaders, liveBitrate/1_000_000), 1
	return []result{r}, nil
}

func watchSRT(ctx context.Context, s *liveServer, got *atomic.Int64) error {
	return playSRT(ctx, s.srt, func(bytes int64) { got.Add(bytes) })
}

// liuyunSRT is ours, which a clip is pushed to by RTMP.
func liuyunSRT(ctx context.Context, b *bench, clip string) (*liveServer, error) {
	return b.liuyunOnAir(ctx, clip, func(one oneStream) string { return one.push }, awaitWatch(watchSRT))
}

// mediamtxSRT is MediaMTX, which a clip is pushed to by RTMP.
func mediamtxSRT(ctx context.Context, b *bench, clip string) (*liveServer, error) {
	path, err := b.mediamtxPath()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	l := &liveServer{name: mediamtxName, srt: "srt://" + ports[1] + "?streamid=read:live"}
	config := fmt.Sprintf(mediamtxSRTConfig, ports[0], ports[1])
	if err := b.startPeer(ctx, l, ports[0], "mediamtx.yml", config, func(config string) []string { return []string{path, config} }); err != nil {
		return nil, err
	}
	return l, b.onAir(ctx, l, clip, "rtmp://"+ports[0]+"/live", awaitWatch(watchSRT))
}
