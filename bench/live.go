package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/client"
	"liuyun/test/viewer"
)

// What live figures have in common: one stream of 2 Mbit/s, so many who watch it, and
// how long they are measured after all of them have begun.
const (
	liveBitrate = 2_000_000
	hlsViewers  = 150
	liveSettle  = 4 * time.Second
	liveTime    = 20 * time.Second
)

// liveServer is one of those that are compared, with a stream on air.
type liveServer struct {
	name string
	pids []int  // itself, then its children while they are measured
	hls  string // the multivariant playlist; "" where it has none of low latency
	rtmp string // where it is played by RTMP; "" where it is not
	srt  string // where it is read by SRT
	whep string // where it is watched by WebRTC
	stop func()
}

// liveStart starts a server and pushes the clip to it.
type liveStart func(ctx context.Context, b *bench, clip string) (*liveServer, error)

// watcher has one viewer watch until ctx ends, and counts the bytes that it gets.
type watcher func(ctx context.Context, s *liveServer, got *atomic.Int64) error

// liveCost is what delivering costs: CPU seconds of the server and of those who
// watch, who are the same for all servers.
type liveCost struct {
	server, client float64 // CPU seconds
	itself         float64 // of the server's, without its children's
	bytes          int64
	seconds        float64
	others         float64 // share of the machine, the encoder's among them
}

// perGigabyte is the figure: 10⁹ bytes.
func (c liveCost) perGigabyte() float64 { return (c.server + c.client) / (float64(c.bytes) / 1e9) }

func (c liveCost) String() string {
	return fmt.Sprintf("%.2f CPU s a GB (server %.2f s, viewers %.2f s, %.0f Mbit/s)", c.perGigabyte(), c.server, c.client, float64(c.bytes)*8/c.seconds/1e6)
}

// measureLiveHLS compares the cost of Low-Latency HLS with MediaMTX's.
func measureLiveHLS(ctx context.Context, b *bench) ([]result, error) {
	r, err := b.compareLive(ctx, liuyunLive, mediamtxLive, watchHLS, hlsViewers)
	if err != nil {
		return nil, err
	}
	r.Clip, r.Bar = fmt.Sprintf("LL-HLS, %d viewers at %d Mbit/s", hlsViewers, liveBitrate/1_000_000), 0.6
	return []result{r}, nil
}

// compareLive lets both take turns.
func (b *bench) compareLive(ctx context.Context, ours, theirs liveStart, watch watcher, viewers int) (result, error) {
	clip, err := b.liveClip(ctx)
	if err != nil {
		return result{}, err
	}
	count := b.flags.pairs
	if b.flags.quick {
		count = 1
	}
	var a, z, ratios []float64
	var lastOurs, lastTheirs liveCost
	var peer string
	for n := range count {
		_, x, err := b.liveCost(ctx, ours, clip, watch, viewers)
		if err != nil {
			return result{}, err
		}
		name, y, err := b.liveCost(ctx, theirs, clip, watch, viewers)
		if err != nil {
			return result{}, err
		}
		b.say("  pair %d of %d: ours %v; %s %v", n+1, count, x, name, y)
		a, z, ratios = append(a, x.perGigabyte()), append(z, y.perGigabyte()), append(ratios, x.perGigabyte()/y.perGigabyte())
		lastOurs, lastTheirs, peer = x, y, name
	}
	return result{
		Peer: peer, Unit: "CPU s a GB", Ours: median(a), Theirs: median(z), Bound: atMost,
		Notes: fmt.Sprintf("%d pairs, ratios %.3f to %.3f; of the last pair ours %v, theirs %v; others used %.0f %% and %.0f %% of the machine, the encoder among them",
			count, slices.Min(ratios), slices.Max(ratios), lastOurs, lastTheirs, 100*lastOurs.others, 100*lastTheirs.others),
	}, nil
}

// liveCost measures one server.
func (b *bench) liveCost(ctx context.Context, start liveStart, clip string, watch watcher, viewers int) (string, liveCost, error) {
	s, err := start(ctx, b, clip)
	if err != nil {
		return "", liveCost{}, err
	}
	defer s.stop()
	watching, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var got atomic.Int64
	var all sync.WaitGroup
	for range viewers {
		all.Go(func() {
			if err := watch(watching, s, &got); err != nil {
				cancel(fmt.Errorf("a viewer of %s: %w", s.name, err))
			}
		})
		if err := pause(watching, liveSettle/time.Duration(viewers)); err != nil {
			break
		}
	}
	cost, err := b.during(watching, s, liveSettle, liveTime, &got)
	if cost.bytes == 0 && err == nil {
		err = errors.New("nothing was delivered")
	}
	cancel(nil)
	all.Wait()
	return s.name, cost, err
}

// during measures what a server, its children and this program use for so long, when all
// has settled.
func (b *bench) during(ctx context.Context, s *liveServer, settle, length time.Duration, got *atomic.Int64) (c liveCost, err error) {
	if err := pause(ctx, settle); err != nil {
		return c, err
	}
	busy, err := readBusy()
	if err != nil {
		return c, err
	}
	s.pids = append(s.pids[:1], children(s.pids[0])...)
	itself, _ := processCPU(s.pids[0])
	began, own, server, bytes := time.Now(), ownCPU(), s.cpu(), got.Load()
	if err := pause(ctx, length); err != nil {
		return c, err
	}
	c = liveCost{server: s.cpu() - server, client: ownCPU() - own, bytes: got.Load() - bytes, seconds: time.Since(began).Seconds()}
	after, err := readBusy()
	now, _ := processCPU(s.pids[0])
	c.itself = now - itself
	c.others = othersShare(busy, after, c.server+c.client)
	if !slices.Equal(s.pids[1:], children(s.pids[0])) && err == nil {
		err = errors.New("a child has come or gone meanwhile: its CPU is not known")
	}
	return c, err
}

// pause waits, unless ctx ends: then it returns why.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *liveServer) cpu() float64 {
	sum := 0.0
	for _, pid := range s.pids {
		used, _ := processCPU(pid)
		sum += used
	}
	return sum
}

// watchHLS watches as a player of low latency.
func watchHLS(ctx context.Context, s *liveServer, got *atomic.Int64) error {
	return viewer.Watch(ctx, viewer.Options{Master: s.hls, Got: func(a viewer.Answer) {
		if !a.Playlist {
			got.Add(a.Bytes)
		}
	}})
}

// liveClip is what is pushed: a picture that moves and a tone, at a constant rate, a
// key frame each two seconds.
func (b *bench) liveClip(ctx context.Context) (string, error) {
	return b.liveClipOf(ctx, "live.mp4", "1280x720", liveBitrate)
}

func (b *bench) liveClipOf(ctx context.Context, name, size string, bitrate int) (string, error) {
	const sound = 128_000
	rate := fmt.Sprint(bitrate - sound)
	return b.cached(ctx, name, nil, []string{
		"-f", "lavfi", "-i", "testsrc2=size=" + size + ":rate=25:duration=20,noise=alls=20:allf=t", "-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000:duration=20",
		"-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-bf", "0",
		"-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate, "-x264-params", "nal-hrd=cbr",
		"-c:a", "aac", "-ac", "2", "-b:a", fmt.Sprint(sound), "-shortest",
	})
}

// pushClip has an ffmpeg push a clip again and again, without encoding. stop returns what
// it said.
func (b *bench) pushClip(clip, address string) (stop func() string, err error) {
	args := []string{"-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", clip, "-c", "copy"}
	if strings.HasPrefix(address, "rtsp:") {
		args = append(args, "-f", "rtsp", "-rtsp_transport", "tcp", address)
	} else {
		args = append(args, "-f", "flv", address)
	}
	cmd, log := exec.Command(b.ffmpeg, args...), &lastLines{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() string {
		_ = cmd.Process.Kill() // gone already: it has said why
		_ = cmd.Wait()
		return log.String()
	}, nil
}

// liveLimit bounds how long a stream may take until it can be played.
const liveLimit = 30 * time.Second

// awaitWatch waits until who watches gets something.
func awaitWatch(watch watcher) func(context.Context, *liveServer) error {
	return func(ctx context.Context, s *liveServer) error {
		deadline := time.Now().Add(liveLimit)
		for {
			playing, cancel := context.WithTimeout(ctx, 2*time.Second)
			var got atomic.Int64
			err := watch(playing, s, &got)
			cancel()
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err == nil && got.Load() > 0:
				return nil
			case time.Now().After(deadline):
				return fmt.Errorf("%s plays nothing: %w", s.name, err)
			}
			if err := pause(ctx, 200*time.Millisecond); err != nil {
				return err
			}
		}
	}
}

// liuyunLive is ours.
func liuyunLive(ctx context.Context, b *bench, clip string) (*liveServer, error) {
	return b.liuyunOnAir(ctx, clip, func(one oneStream) string { return one.push }, awaitWatch(watchHLS))
}

// liuyunOnAir starts a server of ours and pushes the clip where a new stream of it
// takes that.
func (b *bench) liuyunOnAir(ctx context.Context, clip string, push func(oneStream) string, await func(context.Context, *liveServer) error) (*liveServer, error) {
	s, stop, err := b.serveLive(ctx)
	if err != nil {
		return nil, err
	}
	one, err := s.newStream(ctx)
	if err != nil {
		stop()
		return nil, err
	}
	l := &liveServer{name: "liuyun", pids: []int{s.Pid}, hls: one.hls, rtmp: one.play, srt: one.srt, whep: one.whep, stop: stop}
	return l, b.onAir(ctx, l, clip, push(one), await)
}

// serveLive starts a server of ours that takes streams.
func (b *bench) serveLive(ctx context.Context, more ...string) (*server, func(), error) {
	data, err := b.freshData()
	if err != nil {
		return nil, nil, err
	}
	args := append([]string{"--roles", "control,live"}, more...)
	s, err := b.serve(ctx, serve{data: data, args: args})
	if err != nil {
		return nil, nil, err
	}
	return s, func() {
		if _, err := s.stop(); err != nil {
			b.say("%v", err)
		}
		os.RemoveAll(filepath.Dir(data))
	}, nil
}

// oneStream is a stream of ours.
type oneStream struct {
	id   string
	push string // where an encoder pushes by RTMP, with the key
	rtsp string // the same by RTSP
	hls  string
	play string // by RTMP
	srt  string // where it is read
	whep string
}

func (s *server) newStream(ctx context.Context) (oneStream, error) {
	c, err := s.client("")
	if err != nil {
		return oneStream{}, err
	}
	defer c.Close()
	made, err := c.Streams.Create(ctx, client.NewStream{Name: "live"})
	if err != nil {
		return oneStream{}, err
	}
	srt, _, _ := strings.Cut(made.Ingest.SRT.URL, "?")
	return oneStream{
		id: made.ID, push: made.Ingest.RTMP.URL + "/" + made.Ingest.RTMP.Key, rtsp: made.Ingest.RTSP.URL, hls: c.Resolve(made.Playback.HLS),
		play: strings.TrimSuffix(made.Ingest.RTMP.URL, "/live") + "/play/" + made.ID,
		srt:  srt + "?streamid=read:" + made.ID, whep: c.Resolve(made.Playback.WHEP),
	}, nil
}
