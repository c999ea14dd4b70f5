package ladder

import (
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"liuyun/internal/av/rate"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/testkit"
)

// A real child shows pictures without detail until the larger rung is left out, and
// with it until that is back; the smaller has each picture of the source once, at its
// time, and its key frames, through the children that this takes.
func TestRungsOfFFmpegThatShowNoMore(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	track, units := film(t, "-f", "lavfi", "-i", "testsrc2=size=854x480:rate=25:duration=4", "-vf", "gblur=sigma=12:enable='lt(t,2)'",
		"-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "50", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-video_track_timescale", "90000")
	blurred, sharp := units[:50], units[50:]
	source := hub.New(hub.DefaultLimits())
	var got gathered
	l := New(Options{
		Source: source, Maker: tools, Limits: testLimits, Adapt: Adaption{Rungs: true, Bits: true},
		Log: slog.New(slog.DiscardHandler), Planned: func([]rate.Rung, timebase.Rational) {},
		Made: func(r ingest.Rung) { got.read(r.Name, r.Stream.ReadAll()) },
	})
	l.Set(Plan{Names: []string{"480p", "360p"}})
	source.Begin([]hub.Track{track})
	var running sync.WaitGroup
	running.Go(func() { l.Run(t.Context()) })
	var sent []hub.Unit
	until := func(what string, state State, part []hub.Unit) {
		length := part[1].PTS - part[0].PTS
		for range 100 {
			for _, u := range part {
				at := units[0].PTS + int64(len(sent))*length
				u.DTS, u.PTS = at, at
				sent = append(sent, u)
				source.Write(u)
				if len(sent)%20 == 0 { // never so far that a rung would be shed
					testkit.Until(t, time.Minute, "the child to come near", func() bool {
						newest, _ := l.tape.newest()
						return newest == at && len(l.Health().Rungs) == 2 && l.Health().Lag < time.Second
					})
				}
			}
			if l.Health().Rungs[0].State == state {
				return
			}
		}
		t.Errorf("%s: %+v", what, l.Health())
	}
	until("blurred", Spare, blurred)
	if seconds := len(sent) / 25; seconds < 30 {
		t.Errorf("the larger rung was left out after %d s", seconds)
	}
	before := len(sent)
	until("sharp", Made, sharp)
	if seconds := (len(sent) - before) / 25; seconds > 30 { // the child is ahead of who looks, as fast as this is
		t.Errorf("the larger rung was back after %d s", seconds)
	}
	source.End(nil)
	running.Wait()
	var want, keys []int64
	for _, u := range sent {
		want = append(want, u.PTS)
		if u.Key {
			keys = append(keys, u.PTS)
		}
	}
	for _, rung := range []string{"480p", "360p"} {
		var times, made []int64
		for _, u := range got.all()[rung] {
			times = append(times, u.PTS)
			if u.Key {
				made = append(made, u.PTS)
			}
		}
		if !slices.Equal(times, want) || !slices.Equal(made, keys) {
			t.Errorf("%s: %d pictures, %d key frames, want %d, %d", rung, len(times), len(made), len(want), len(keys))
		}
		if got.begun[rung] != 1 {
			t.Errorf("%s has begun %d times", rung, got.begun[rung])
		}
	}
}
