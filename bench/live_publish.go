package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/test/viewer"
)

// What a server may use for streams that nobody watches, and how soon a stream may be
// watched.
const (
	publishedStreams = 200
	publishedBitrate = 1_000_000
	publishLimit     = 200 // MB (10⁶ bytes)
	publishTime      = 60 * time.Second
	firstPartLimit   = 1.5 // seconds
	startTries       = 10
)

// liveFLV is the clip as RTMP has it, and how long it lasts.
func (b *bench) liveFLV(ctx context.Context, bitrate int) ([]flvTag, time.Duration, error) {
	name, size := "live.mp4", "1280x720"
	if bitrate < liveBitrate {
		name, size = "live-small.mp4", "640x360"
	}
	clip, err := b.liveClipOf(ctx, name, size, bitrate)
	if err != nil {
		return nil, 0, err
	}
	path, err := b.cached(ctx, strings.TrimSuffix(name, ".mp4")+".flv", []string{clip}, []string{"-i", clip, "-c", "copy", "-f", "flv"})
	if err != nil {
		return nil, 0, err
	}
	tags, err := readFLV(path)
	return tags, 20 * time.Second, err
}

// measureLiveMemory takes the peak memory of a server of ours to which many encoders
// push at once, and nobody watches.
func measureLiveMemory(ctx context.Context, b *bench) ([]result, error) {
	tags, length, err := b.liveFLV(ctx, publishedBitrate)
	if err != nil {
		return nil, err
	}
	s, stop, err := b.serveLive(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	idle := residentMemory(s.Pid)
	pushing, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	var sent atomic.Int64
	for range publishedStreams {
		one, err := s.newStream(ctx)
		if err != nil {
			return nil, err
		}
		all.Go(func() {
			if err := pushRTMP(pushing, one.push, tags, length, func(t flvTag) { sent.Add(int64(len(t.body))) }); err != nil {
				cancel(fmt.Errorf("an encoder: %w", err))
			}
		})
		if err := pause(pushing, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
	took := publishTime
	if b.flags.quick {
		took /= 6
	}
	cpu, bytes, began := s.cpu(), sent.Load(), time.Now()
	err = pause(pushing, took)
	cpu, bytes = s.cpu()-cpu, sent.Load()-bytes
	wall := time.Since(began).Seconds()
	resident, peak := residentMemory(s.Pid), peakMemory(s.Pid)
	cancel(nil)
	all.Wait()
	return []result{{
		Peer: "the limit", Clip: fmt.Sprintf("%d streams of 1 Mbit/s, nobody watches", publishedStreams), Unit: "MB",
		Ours: float64(peak) / 1e6, Theirs: publishLimit, Bar: 1, Bound: atMost,
		Notes: fmt.Sprintf("resident %.0f MB when idle, %.0f MB after %.0f s of all; %.0f Mbit/s came in, for %.2f of a core",
			float64(idle)/1e6, float64(resident)/1e6, wall, float64(bytes)*8/wall/1e6, cpu/wall),
	}}, err
}

func (s *server) cpu() float64 {
	used, _ := processCPU(s.Pid)
	return used
}

// measureLiveStart takes how long after its first key frame a stream can be watched:
// until a viewer who asks again and again has its first part.
func measureLiveStart(ctx context.Context, b *bench) ([]result, error) {
	tags, length, err := b.liveFLV(ctx, liveBitrate)
	if err != nil {
		return nil, err
	}
	s, stop, err := b.serveLive(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	var took []float64
	for range startTries {
		one, err := s.newStream(ctx)
		if err != nil {
			return nil, err
		}
		seconds, err := firstPart(ctx, one, tags, length)
		if err != nil {
			return nil, err
		}
		took = append(took, seconds)
	}
	return []result{{
		Peer: "the limit", Clip: "start of a stream", Unit: "s", Ours: slices.Max(took), Theirs: firstPartLimit, Bar: 1, Bound: atMost,
		Notes: fmt.Sprintf("the slowest of %d; the median is %.2f s; from the first key frame that was sent to the first part that came", len(took), median(took)),
	}}, nil
}

// firstPart pushes to a stream until a viewer has its first part of pictures.
func firstPart(ctx context.Context, one oneStream, tags []flvTag, length time.Duration) (float64, error) {
	running, cancel := context.WithTimeout(ctx, liveLimit)
	defer cancel()
	var key, came atomic.Int64 // nanoseconds since 1970
	var pushed sync.WaitGroup
	var problem error
	pushed.Go(func() {
		problem = pushRTMP(running, one.push, tags, length, func(t flvTag) {
			if t.key {
				key.CompareAndSwap(0, time.Now().UnixNano())
			}
		})
	})
	for running.Err() == nil && came.Load() == 0 {
		watching, stop := context.WithCancel(running)
		err := viewer.Watch(watching, viewer.Options{Master: one.hls, Got: func(a viewer.Answer) {
			if !a.Playlist && a.Status == http.StatusOK && strings.Contains(a.Target, "video/") && filepath.Ext(a.Target) == ".m4s" {
				came.CompareAndSwap(0, a.At.UnixNano())
				stop()
			}
		}})
		stop()
		if err != nil {
			_ = pause(running, 20*time.Millisecond)
		}
	}
	cancel()
	pushed.Wait()
	if came.Load() == 0 {
		return 0, errors.Join(fmt.Errorf("nothing came of a stream for %s", liveLimit), problem)
	}
	return float64(came.Load()-key.Load()) / 1e9, nil
}
