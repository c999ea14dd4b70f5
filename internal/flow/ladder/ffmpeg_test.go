package ladder

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"liuyun/internal/av/mp4"
	"liuyun/internal/av/rate"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/kit/proc"
	"liuyun/internal/testkit"
)

func findTools(t *testing.T) *ffmpeg.Tools {
	t.Helper()
	testkit.FFmpeg(t)
	tools, err := ffmpeg.Find(t.Context(), ffmpeg.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return tools
}

// film is the one track of a clip that ffmpeg makes, and its units.
func film(t *testing.T, args ...string) (hub.Track, []hub.Unit) {
	t.Helper()
	file, err := os.ReadFile(testkit.Generate(t, testkit.Clip{Name: "film.mp4", Args: args}))
	if err != nil {
		t.Fatal(err)
	}
	track, err := mp4.ReadTrack(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	out := hub.Track{
		Codec: hub.Codec(track.Codec), Clock: int64(track.Timescale), Config: track.Config, Width: track.Width, Height: track.Height, Channels: track.Channels,
	}
	var units []hub.Unit
	dts := 10 * out.Clock // what is before zero would be lost
	for _, s := range track.Samples {
		units = append(units, hub.Unit{
			DTS: dts, PTS: dts + int64(s.CompositionOffset) - track.MediaStart, Key: s.Sync, Wall: time.Unix(dts/out.Clock, 0), Data: file[s.Offset:][:s.Size:s.Size],
		})
		dts += int64(s.Duration)
	}
	return out, units
}

// deadly kills its children after so many pictures that they were given.
type deadly struct {
	Maker
	mu    sync.Mutex
	after []int
}

func (d *deadly) RunLive(ctx context.Context, l ffmpeg.Live, feed func(context.Context, func(ffmpeg.LiveUnit) error) error) (ffmpeg.Usage, error) {
	d.mu.Lock()
	after := -1
	if len(d.after) > 0 {
		after, d.after = d.after[0], d.after[1:]
	}
	d.mu.Unlock()
	ctx, kill := context.WithCancel(ctx)
	defer kill()
	return d.Maker.RunLive(ctx, l, func(ctx context.Context, write func(ffmpeg.LiveUnit) error) error {
		return feed(ctx, func(u ffmpeg.LiveUnit) error {
			if after--; after == 0 {
				kill()
			}
			return write(u)
		})
	})
}

var testLimits = proc.Limits{CPU: 2 * time.Minute, Memory: 2 << 30, Wall: 3 * time.Minute}

// Through children of ffmpeg that are killed now and then, every rung has each picture
// of the source once, at its time, and the key frames of the source.
func TestLadderOfFFmpeg(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	for name, args := range map[string][]string{
		"25":    {"-f", "lavfi", "-i", "testsrc2=size=854x480:rate=25:duration=8", "-g", "50"},
		"29.97": {"-f", "lavfi", "-i", "testsrc2=size=854x480:rate=30000/1001:duration=8", "-g", "60"},
		"50i":   {"-f", "lavfi", "-i", "testsrc2=size=720x576:rate=50:duration=8,interlace=scan=tff", "-g", "50", "-flags", "+ildct+ilme", "-x264-params", "tff=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			track, units := film(t, append(args, "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-sc_threshold", "0",
				"-pix_fmt", "yuv420p", "-video_track_timescale", "90000")...)
			if got := interlaced(&track); got != (name == "50i") {
				t.Errorf("interlaced: %v", got)
			}
			var want, wantKeys []int64
			for _, u := range units {
				want = append(want, u.PTS)
				if u.Key {
					wantKeys = append(wantKeys, u.PTS)
				}
			}
			slices.Sort(want)
			got := through(t, &deadly{Maker: tools, after: []int{70, 45}}, name == "29.97", track, units)
			for _, rung := range []string{"480p", "360p"} {
				var times, keys []int64
				for _, u := range got[rung] {
					times = append(times, u.PTS)
					if u.Key {
						keys = append(keys, u.PTS)
					}
				}
				if !slices.Equal(times, want) || !slices.Equal(keys, wantKeys) {
					t.Errorf("%s: %d pictures, key frames at %v; want %d, %v", rung, len(times), keys, len(want), wantKeys)
				}
			}
		})
	}
}

// through sends units through a ladder of two rungs, adapted to what is seen or not, and
// returns what each made.
func through(t *testing.T, m Maker, adapt bool, track hub.Track, units []hub.Unit) map[string][]hub.Unit {
	t.Helper()
	source := hub.New(hub.DefaultLimits())
	var got gathered
	l := New(Options{
		Source: source, Maker: m, Limits: testLimits, Hold: 125 * time.Millisecond, Adapt: Adaption{Rungs: adapt, Bits: adapt}, Log: slog.New(slog.DiscardHandler), Planned: func([]rate.Rung, timebase.Rational) {},
		Made: func(r ingest.Rung) { got.read(r.Name, r.Stream.Read()) },
	})
	l.Set(Plan{Names: []string{"480p", "360p"}})
	source.Begin([]hub.Track{track})
	source.Write(units[0])
	var running sync.WaitGroup
	running.Go(func() { l.Run(t.Context()) })
	testkit.Until(t, time.Minute, "a picture on the tape", func() bool { _, ok := l.tape.newest(); return ok })
	const group = 40 // pictures, less than to the next key frame, with which readers would begin
	write(source, units[1:group])
	testkit.Until(t, time.Minute, "both renditions", func() bool {
		got.mu.Lock()
		defer got.mu.Unlock()
		return len(got.units) == 2
	})
	write(source, units[group:])
	source.End(nil)
	running.Wait()
	return got.all()
}

// gathered is what is made of rungs. The zero value is ready.
type gathered struct {
	mu      sync.Mutex
	units   map[string][]hub.Unit
	begun   map[string]int // how often each has begun
	reading sync.WaitGroup
}

func (g *gathered) read(name string, from *hub.Reader) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.units == nil {
		g.units, g.begun = make(map[string][]hub.Unit), make(map[string]int)
	}
	g.begun[name]++
	g.reading.Go(func() {
		for {
			item, err := from.Next(context.Background())
			if err != nil {
				return
			}
			if item.Tracks == nil {
				g.mu.Lock()
				g.units[name] = append(g.units[name], item.Unit)
				g.mu.Unlock()
			}
		}
	})
}

// all waits until the streams have ended.
func (g *gathered) all() map[string][]hub.Unit {
	g.reading.Wait()
	return g.units
}

func write(to *hub.Stream, units []hub.Unit) {
	for _, u := range units {
		to.Write(u)
	}
}

// Sound goes on through children that are killed, without a hole of more than what
// was on its way, and never backwards.
func TestSoundOfFFmpeg(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	track, units := film(t, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=4", "-ac", "2", "-c:a", "aac")
	for _, codec := range []hub.Codec{hub.Opus, hub.AAC} {
		source := hub.New(hub.DefaultLimits())
		sound := NewSound(Sound{
			Source: source.Read(), Codec: codec, Maker: &deadly{Maker: tools, after: []int{60}}, Limits: testLimits, Log: slog.New(slog.DiscardHandler),
		})
		source.Begin([]hub.Track{track})
		reader := sound.Stream().Read()
		var running sync.WaitGroup
		running.Go(func() { sound.Run(t.Context()) })
		running.Go(func() {
			for i := range units { // a little faster than it plays
				write(source, units[i:i+1])
				time.Sleep(10 * time.Millisecond)
			}
			source.End(nil)
		})
		last, frames := int64(-1), 0
		for {
			item, err := reader.Next(t.Context())
			if err != nil {
				break
			}
			if item.Tracks != nil {
				if k := item.Tracks[0]; len(item.Tracks) != 1 || k.Codec != codec || k.Clock != 48000 || k.Channels != 2 {
					t.Errorf("%s: tracks %+v", codec, item.Tracks)
				}
				continue
			}
			if item.Unit.DTS <= last {
				t.Errorf("%s: a frame at %d after one at %d", codec, item.Unit.DTS, last)
			}
			last = item.Unit.DTS
			frames++
		}
		running.Wait()
		if end := units[len(units)-1].DTS; frames < 60 || last < end-4096 || last > end+4096 {
			t.Errorf("%s: %d frames to %d, want the end at about %d", codec, frames, last, end)
		}
	}
}
