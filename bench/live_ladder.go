package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"liuyun/client"
	"liuyun/internal/av/rate"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
)

// What a live ladder is measured with: real pictures again and again, for whole rounds of
// them, so that both sides encode the same.
const (
	ladderRound  = 20 * time.Second
	ladderRounds = 2
	ladderSettle = 8 * time.Second
)

// ladderNames are the renditions.
func ladderNames() []string { return []string{"720p", "480p", "360p"} }

// measureLiveLadder compares the CPU of a stream with three renditions with that of one
// plain ffmpeg command that makes the same ones. Nobody watches either.
func measureLiveLadder(ctx context.Context, b *bench) ([]result, error) {
	whole, err := b.joined(ctx, 1080, ladder1080)
	if err != nil {
		return nil, err
	}
	clip, err := b.cached(ctx, "ladder.mp4", []string{whole.path}, []string{
		"-ss", "12", "-t", fmt.Sprint(ladderRound.Seconds()), "-i", whole.path, "-c:v", "libx264", "-preset", "veryfast", "-b:v", "6M", "-maxrate", "6M", "-bufsize", "6M",
		"-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-bf", "2", "-c:a", "aac", "-b:a", "128k",
	})
	if err != nil {
		return nil, err
	}
	count := b.flags.pairs
	if b.flags.quick {
		count = 1
	}
	var ours, theirs, ratios []float64
	others, itself := 0.0, 0.0
	for n := range count {
		x, err := b.ladderCost(ctx, liuyunLadder, clip)
		if err != nil {
			return nil, err
		}
		y, err := b.ladderCost(ctx, plainLadder, clip)
		if err != nil {
			return nil, err
		}
		b.say("  pair %d of %d: ours %.3f of a core; theirs %.3f; others %.0f %%, %.0f %%", n+1, count, x.server/x.seconds, y.server/y.seconds, 100*x.others, 100*y.others)
		ours, theirs = append(ours, x.server/x.seconds), append(theirs, y.server/y.seconds)
		ratios = append(ratios, ours[n]/theirs[n])
		others, itself = max(others, x.others, y.others), x.itself/x.seconds
	}
	return []result{{
		Peer: plainPeer, Clip: "1080p25 by RTMP, renditions " + strings.Join(ladderNames(), ", "), Preset: "veryfast", Unit: "cores",
		Ours: median(ours), Theirs: median(theirs), Bar: 1.03, Bound: atMost,
		Notes: fmt.Sprintf("%d pairs of %.0f s, ratios %.3f to %.3f; ours takes RTMP, writes the source and all renditions in parts; theirs reads FLV from a pipe and writes the same in segments; %.3f of a core of ours was the server itself in the last pair; others used up to %.0f %% of the machine, the encoder among them",
			count, (ladderRound * ladderRounds).Seconds(), slices.Min(ratios), slices.Max(ratios), itself, 100*others),
	}}, nil
}

// ladderCost measures one side.
func (b *bench) ladderCost(ctx context.Context, start liveStart, clip string) (liveCost, error) {
	s, err := start(ctx, b, clip)
	if err != nil {
		return liveCost{}, err
	}
	defer s.stop()
	return b.during(ctx, s, ladderSettle, ladderRound*ladderRounds, new(atomic.Int64))
}

// liuyunLadder is ours.
func liuyunLadder(ctx context.Context, b *bench, clip string) (*liveServer, error) {
	s, stop, err := b.serveLive(ctx)
	if err != nil {
		return nil, err
	}
	c, err := s.client("")
	if err != nil {
		stop()
		return nil, err
	}
	defer c.Close()
	made, err := c.Streams.Create(ctx, client.NewStream{Name: "ladder", Ladder: ladderNames()})
	if err != nil {
		stop()
		return nil, err
	}
	l := &liveServer{name: "liuyun", pids: []int{s.Pid}, hls: c.Resolve(made.Playback.HLS), stop: stop}
	return l, b.onAir(ctx, l, clip, made.Ingest.RTMP.URL+"/"+made.Ingest.RTMP.Key, func(ctx context.Context, _ *liveServer) error {
		return awaitRungs(ctx, c, made.ID)
	})
}

// awaitRungs waits until all renditions are made.
func awaitRungs(ctx context.Context, c *client.Client, id string) error {
	for deadline := time.Now().Add(liveLimit); ; {
		r, err := c.Streams.Get(ctx, id)
		if err == nil && r.Health != nil && len(r.Health.Rungs) == len(ladderNames()) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the renditions are not made: %w", err)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// plainLadder is one ffmpeg that reads what another sends, and writes segments. Its
// encoders have the very arguments of ours.
func plainLadder(ctx context.Context, b *bench, clip string) (*liveServer, error) {
	args, err := b.plainLadderArgs(ctx)
	if err != nil {
		return nil, err
	}
	folder, err := b.folder()
	if err != nil {
		return nil, err
	}
	log := &lastLines{}
	encoder := exec.Command(b.ffmpeg, "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", clip, "-c", "copy", "-f", "flv", "-")
	plain := exec.Command(b.ffmpeg, args...)
	plain.Dir, plain.Stderr = folder, log
	if plain.Stdin, err = encoder.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := errors.Join(plain.Start(), encoder.Start()); err != nil {
		return nil, err
	}
	var stopped atomic.Bool
	l := &liveServer{name: plainPeer, pids: []int{plain.Process.Pid}, stop: func() {
		if stopped.CompareAndSwap(false, true) {
			for _, cmd := range []*exec.Cmd{encoder, plain} {
				_ = cmd.Process.Kill() // gone already: nothing to end
				_ = cmd.Wait()
			}
			os.RemoveAll(folder)
		}
	}}
	for deadline := time.Now().Add(liveLimit); ; {
		if _, err := os.Stat(filepath.Join(folder, "360p.m3u8")); err == nil {
			return l, nil
		}
		if time.Now().After(deadline) {
			l.stop()
			return nil, fmt.Errorf("the plain command makes nothing: %s", log)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			l.stop()
			return nil, err
		}
	}
}

// plainLadderArgs are those of a child of ours, but for what it reads and writes.
func (b *bench) plainLadderArgs(ctx context.Context) ([]string, error) {
	tools, err := ffmpeg.Find(ctx, ffmpeg.DefaultConfig())
	if err != nil {
		return nil, err
	}
	pace := timebase.R(25, 1)
	live := ffmpeg.Live{Source: ffmpeg.LiveSource{Codec: "h264", Clock: 90000, Width: 1920, Height: 1080, Rate: pace}}
	rungs := rate.Live(rate.Source{Width: 1920, Height: 1080, FrameRate: pace}, ladderNames(), false)
	for _, r := range rungs {
		live.Pictures = append(live.Pictures, ffmpeg.LivePictures{Width: r.Width, Height: r.Height, Rate: r.Cap, After: math.MinInt64})
	}
	ours := tools.LiveArgs(live)
	args := []string{"-nostdin", "-loglevel", "error", "-copyts", "-threads", "2", "-f", "flv", "-i", "pipe:0"}
	segments := func(name string) []string {
		return []string{"-f", "hls", "-hls_time", "4", "-hls_segment_type", "fmp4", "-hls_list_size", "10", "-hls_flags", "delete_segments",
			"-hls_fmp4_init_filename", name + ".mp4", "-hls_segment_filename", name + "-%d.m4s", name + ".m3u8"}
	}
	args = append(args, append([]string{"-map", "0:v", "-map", "0:a", "-c", "copy"}, segments("source")...)...)
	rest := ours[slices.Index(ours, "-filter_complex"):]
	for _, r := range rungs {
		end := slices.Index(rest, "-map_metadata")
		args = append(args, rest[:end]...)
		args = append(args, segments(r.Name)...)
		next := slices.IndexFunc(rest, func(arg string) bool { return strings.HasPrefix(arg, "pipe:") })
		rest = rest[next+1:]
	}
	for i, arg := range args {
		args[i] = strings.Replace(arg, "[0:0]", "[0:v]", 1)
	}
	return args, nil
}
