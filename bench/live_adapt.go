package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/internal/av/bits"
	"liuyun/internal/av/h264"
	"liuyun/internal/av/mp4"
	"liuyun/internal/av/quality"
	"liuyun/internal/av/rate"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	renditions "liuyun/internal/flow/ladder"
)

// What the bits of a live ladder are measured with. Orders reach a child ten times a
// second, so that a stream that is adapted is sent at no more than so many times its own
// pace; at a stream's own pace they come sooner.
const (
	adaptPace   = 3.0
	fixedPace   = 6.0
	adaptAhead  = 30 // pictures that are sent before one is made: less than what sheds a rung
	adaptSample = "live-adapt"
)

// adaptRungs are the renditions of a stream of 720p.
func adaptRungs() []string { return []string{"480p", "360p"} }

// liveAdapt compares, with one of the programmes of searches, what a live ladder needs
// whose quantisers follow what is seen with one that has the same offset at all times,
// caps and preset alike: bits for the same mean VMAF and VMAF NEG, and the CPU of child
// and server with and without.
func liveAdapt(programme string) func(context.Context, *bench) ([]result, error) {
	return func(ctx context.Context, b *bench) ([]result, error) {
		models, err := b.vmafModels("vmaf_v0.6.1.json", "vmaf_v0.6.1neg.json")
		if err != nil {
			return nil, err
		}
		for _, p := range searchProgrammes {
			if p.name != programme {
				continue
			}
			if b.flags.quick {
				p.name, p.parts = p.name+", a part", p.parts[:4]
			}
			return b.adaptProgramme(ctx, p.name, p.parts, models)
		}
		return nil, fmt.Errorf("no programme is called %q", programme)
	}
}

// adapted is one run of a ladder.
type adapted struct {
	rungs map[string]adaptedRung
	cpu   float64 // seconds, of the child and of this program
}

type adaptedRung struct{ bits, vmaf, neg float64 }

func (b *bench) adaptProgramme(ctx context.Context, name string, parts []searchPart, models []*quality.Model) ([]result, error) {
	c, err := b.joinParts(ctx, name+" 720p", 720, parts)
	if err != nil {
		return nil, err
	}
	track, units, err := adaptSource(c.path)
	if err != nil {
		return nil, err
	}
	offsets := rate.LiveOffsets()
	var fixed []adapted
	for i := 1; i < len(offsets)-3; i++ { // a constant one gives the curve to compare with
		a, err := b.adaptOnce(ctx, c.path, track, units, adaptRun{adapt: true, fixed: &i, pace: fixedPace}, models)
		if err != nil {
			return nil, err
		}
		b.say("  %s, offset %+.1f: %s", name, offsets[i], a)
		fixed = append(fixed, a)
	}
	free, err := b.adaptOnce(ctx, c.path, track, units, adaptRun{adapt: true, pace: adaptPace}, models)
	if err != nil {
		return nil, err
	}
	b.say("  %s, adapted: %s", name, free)
	without, err := b.adaptOnce(ctx, c.path, track, units, adaptRun{pace: adaptPace}, nil)
	if err != nil {
		return nil, err
	}
	var results []result
	for _, rung := range adaptRungs() {
		for _, metric := range []string{"VMAF", "VMAF NEG"} {
			value := func(r adaptedRung) float64 {
				if metric == "VMAF" {
					return r.vmaf
				}
				return r.neg
			}
			var curve []quality.Point
			for _, a := range fixed {
				curve = append(curve, quality.Point{Rate: a.rungs[rung].bits, Quality: value(a.rungs[rung])})
			}
			same, err := rateAt(curve, value(free.rungs[rung]))
			if err != nil {
				return results, fmt.Errorf("%s, %s: %w", name, rung, err)
			}
			results = append(results, result{
				Peer: "one offset at all times", Clip: fmt.Sprintf("%s, %s, %s", name, rung, metric), Preset: "veryfast", Unit: "Mbit at equal quality",
				Ours: free.rungs[rung].bits / 1e6, Theirs: same / 1e6, Bar: 1, Bound: atMost,
				Notes: fmt.Sprintf("%.2f %s; %.1f %% of the bits of offset 0", value(free.rungs[rung]), metric, 100*free.rungs[rung].bits/fixed[1].rungs[rung].bits),
			})
		}
	}
	return append(results, result{
		Peer: "the ladder without adaption", Clip: name + ", CPU", Preset: "veryfast", Unit: "CPU seconds",
		Ours: free.cpu, Theirs: without.cpu, Bar: 1.1, Bound: atMost, Notes: "child and server, " + strings.Join(adaptRungs(), ", ") + " of 720p",
	}), nil
}

// String tells the rungs.
func (a adapted) String() string {
	var list []string
	for _, name := range adaptRungs() {
		r := a.rungs[name]
		list = append(list, fmt.Sprintf("%s %.2f Mbit, VMAF %.2f, NEG %.2f", name, r.bits/1e6, r.vmaf, r.neg))
	}
	return fmt.Sprintf("%s, %.1f CPU s", strings.Join(list, "; "), a.cpu)
}

// rateAt is the rate at which a curve has a quality, on lines between its points in the
// logarithm of the rate.
func rateAt(curve []quality.Point, value float64) (float64, error) {
	slices.SortFunc(curve, func(a, b quality.Point) int {
		if a.Quality < b.Quality {
			return -1
		}
		return 1
	})
	for i := range len(curve) - 1 {
		a, b := curve[i], curve[i+1]
		if value >= a.Quality && value <= b.Quality && b.Quality > a.Quality {
			share := (value - a.Quality) / (b.Quality - a.Quality)
			return math.Exp(math.Log(a.Rate) + share*(math.Log(b.Rate)-math.Log(a.Rate))), nil
		}
	}
	return 0, fmt.Errorf("a quality of %.2f is not on the curve of constant offsets", value)
}

// adaptSource is the one track of a clip as a stream carries it.
func adaptSource(path string) (hub.Track, []hub.Unit, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return hub.Track{}, nil, err
	}
	track, err := mp4.ReadTrack(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return hub.Track{}, nil, err
	}
	out := hub.Track{Codec: hub.Codec(track.Codec), Clock: int64(track.Timescale), Config: track.Config, Width: track.Width, Height: track.Height, Rate: timebase.R(25, 1)}
	var units []hub.Unit
	dts := 10 * out.Clock
	for _, s := range track.Samples {
		units = append(units, hub.Unit{
			DTS: dts, PTS: dts + int64(s.CompositionOffset) - track.MediaStart, Key: s.Sync, Wall: time.Unix(dts/out.Clock, 0), Data: file[s.Offset:][:s.Size:s.Size],
		})
		dts += int64(s.Duration)
	}
	return out, units, nil
}

// adaptRun is how a ladder runs.
type adaptRun struct {
	adapt bool
	fixed *int    // the offset that all rungs have at all times
	pace  float64 // times the stream's own, at the most
}

// adaptMaker runs children, and counts their CPU.
type adaptMaker struct {
	*ffmpeg.Tools
	fixed *int
	mu    sync.Mutex
	cpu   time.Duration
}

func (m *adaptMaker) RunLive(ctx context.Context, l ffmpeg.Live, feed func(context.Context, func(ffmpeg.LiveUnit) error) error) (ffmpeg.Usage, error) {
	if m.fixed != nil {
		l.Steering, l.Views = nil, nil
		for i := range l.Pictures {
			l.Pictures[i].Offset = *m.fixed
		}
	}
	used, err := m.Tools.RunLive(ctx, l, feed)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cpu += used.CPU
	return used, err
}

// adaptOnce sends a programme through a ladder, and measures what comes out, if there
// are models.
func (b *bench) adaptOnce(ctx context.Context, source string, track hub.Track, units []hub.Unit, run adaptRun, models []*quality.Model) (adapted, error) {
	tools, err := ffmpeg.Find(ctx, ffmpeg.DefaultConfig())
	if err != nil {
		return adapted{}, err
	}
	folder, err := b.folder()
	if err != nil {
		return adapted{}, err
	}
	defer os.RemoveAll(folder)
	maker := &adaptMaker{Tools: tools, fixed: run.fixed}
	before := ownCPU()
	stream := hub.New(hub.DefaultLimits())
	var writing sync.WaitGroup
	var mu sync.Mutex
	var failed error
	sizes := make(map[string]float64)
	var made atomic.Int64 // pictures of the smallest rung
	l := renditions.New(renditions.Options{
		Source: stream, Maker: maker, Adapt: renditions.Adaption{Bits: run.adapt, Rungs: run.adapt}, Log: slog.New(slog.DiscardHandler), Planned: func([]rate.Rung, timebase.Rational) {},
		Made: func(r ingest.Rung) {
			reader := r.Stream.ReadAll()
			writing.Go(func() {
				taken := &made
				if r.Name != adaptRungs()[len(adaptRungs())-1] {
					taken = new(atomic.Int64)
				}
				size, err := writeRung(ctx, filepath.Join(folder, r.Name+".h264"), reader, taken)
				count := int(taken.Load())
				if err == nil && count != len(units) {
					err = fmt.Errorf("%s has %d pictures of %d", r.Name, count, len(units))
				}
				mu.Lock()
				defer mu.Unlock()
				sizes[r.Name] += float64(8 * size)
				failed = errors.Join(failed, err)
			})
		},
	})
	l.Set(renditions.Plan{Names: adaptRungs()})
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	stream.Begin([]hub.Track{track})
	err = sendPaced(ctx, &made, stream, track, units, run.pace)
	stream.End(nil)
	running.Wait()
	writing.Wait()
	a := adapted{rungs: make(map[string]adaptedRung), cpu: ownCPU() - before + maker.cpu.Seconds()}
	if err := errors.Join(err, failed); err != nil {
		return a, err
	}
	if lost := l.Health().Lost; lost > 0 || len(sizes) != len(adaptRungs()) {
		return a, fmt.Errorf("%d pictures are lost, of %d renditions", lost, len(sizes))
	}
	for _, rung := range rate.Live(rate.Source{Width: track.Width, Height: track.Height, FrameRate: track.Rate}, adaptRungs(), false) {
		r := adaptedRung{bits: sizes[rung.Name]}
		if models != nil {
			scaled, err := b.cached(ctx, fmt.Sprintf("%s-%s.mp4", adaptSample, rung.Name), []string{source}, []string{
				"-i", source, "-vf", fmt.Sprintf("scale=w=%d:h=%d:flags=bicubic", rung.Width, rung.Height), "-c:v", "libx264", "-preset", "ultrafast", "-qp", "0",
			})
			if err != nil {
				return a, err
			}
			pictures := make([]searchPoint, len(units))
			if err := b.sampleVMAF(ctx, scaled, filepath.Join(folder, rung.Name+".h264"), rung.Width, rung.Height, models, pictures); err != nil {
				return a, err
			}
			mean := meanOf(pictures)
			r.vmaf, r.neg = mean.VMAF, mean.NEG
		}
		a.rungs[rung.Name] = r
	}
	return a, nil
}

// sendPaced sends units as their times say, and no faster than the ladder makes them.
func sendPaced(ctx context.Context, made *atomic.Int64, stream *hub.Stream, track hub.Track, units []hub.Unit, pace float64) error {
	begun := time.Now()
	for i, u := range units {
		at := time.Duration(float64(u.DTS-units[0].DTS) / float64(track.Clock) / pace * float64(time.Second))
		if err := pause(ctx, time.Until(begun.Add(at))); err != nil {
			return err
		}
		for i > int(made.Load())+adaptAhead {
			if err := pause(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		stream.Write(u)
	}
	return ctx.Err()
}

// writeRung writes a rung as a byte stream, and returns how many bytes its pictures have.
// It counts them.
func writeRung(ctx context.Context, path string, r *hub.Reader, count *atomic.Int64) (size int, err error) {
	file, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for {
		item, err := r.Next(ctx)
		switch {
		case errors.Is(err, hub.ErrEnded):
			return size, nil
		case err != nil:
			return size, err
		}
		var out []byte
		if item.Tracks != nil {
			sequence, picture, err := h264.ParameterSets(item.Tracks[0].Config)
			if err != nil {
				return size, err
			}
			for _, unit := range append(sequence, picture...) {
				out = append(binary.BigEndian.AppendUint32(out, 1), unit...)
			}
		} else {
			size += len(item.Unit.Data)
			count.Add(1)
			for unit, err := range bits.NALUnits(item.Unit.Data, 4) {
				if err != nil {
					return size, err
				}
				out = append(binary.BigEndian.AppendUint32(out, 1), unit...)
			}
		}
		if _, err := file.Write(out); err != nil {
			return size, err
		}
	}
}
