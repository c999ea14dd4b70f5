package window

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"liuyun/internal/flow/hub"
)

// Whatever comes, every version of every playlist keeps the rules, both renditions
// have the same segments, and parts are what their segment holds.
func TestAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t, short())
		var at [2]int64 // of the next unit of each track, in its clock
		tracks := []hub.Track{pictures(25), sound()}
		b.begin(tracks)
		for range rapid.IntRange(1, 60).Draw(rt, "runs") {
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				other := []hub.Track{tracks[0], tracks[1]}
				other[0].Width = 16 * rapid.IntRange(1, 3).Draw(rt, "width")
				tracks = other
				b.begin(tracks)
			case 1: // a hole in one track
				i := rapid.IntRange(0, 1).Draw(rt, "track")
				at[i] += rapid.Int64Range(0, 400_000).Draw(rt, "hole")
			case 2:
				jump := rapid.Int64Range(-100_000, 1_000_000).Draw(rt, "jump") / 90 * 90
				at[0], at[1] = at[0]+jump, at[1]+jump*48/90
			default:
				frame := rapid.Int64Range(1, 20_000).Draw(rt, "frame")
				key := rapid.Int64Range(1, 80).Draw(rt, "gop")
				for n := range rapid.Int64Range(1, 60).Draw(rt, "pictures") {
					u := hub.Unit{DTS: at[0], PTS: at[0] + 3600, Key: n%key == 0, Data: numbered(n, 20)}
					u.Wall = noon().Add(duration(u.DTS, 90000))
					b.write(u)
					at[0] += frame
					for at[1]*90000 < at[0]*48000 {
						b.write(hub.Unit{Track: 1, DTS: at[1], PTS: at[1], Key: true, Wall: u.Wall, Data: numbered(at[1], 12)})
						at[1] += 1024
					}
				}
			}
			if t.Failed() {
				rt.FailNow()
			}
		}
		b.finish()
		if b.full["video"] == nil {
			return
		}
		v, a := b.playlist("video"), b.playlist("audio")
		if len(v.Segments) != len(a.Segments) || v.MediaSequence != a.MediaSequence || v.DiscontinuitySequence != a.DiscontinuitySequence {
			rt.Errorf("pictures: %d from %d, sound: %d from %d", len(v.Segments), v.MediaSequence, len(a.Segments), a.MediaSequence)
		}
		wholeFiles(t, b)
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// Delays are no change of the time of day; drift is followed, and so is what lasts.
func TestWallClock(t *testing.T) {
	t.Parallel()
	const s, ms = time.Second, time.Millisecond
	tests := map[string]struct {
		off  func(i int) time.Duration // of the unit at i·40 ms
		want time.Duration             // after 60 s
		jump bool
	}{
		"right":            {off: func(int) time.Duration { return 0 }},
		"mostly late":      {off: func(i int) time.Duration { return time.Duration(min(i%10, 1)) * 4 * s }},
		"a stall":          {off: func(i int) time.Duration { return max(0, 3*s-time.Duration(max(700-i, i-700))*40*ms) }},
		"drift":            {off: func(i int) time.Duration { return time.Duration(i) * 20 * time.Microsecond }, want: 30 * ms},
		"later for good":   {off: func(i int) time.Duration { return time.Duration(i/800) * 2 * s }, want: 2 * s, jump: true},
		"after an outage":  {off: func(i int) time.Duration { return time.Duration(i/800) * 20 * s }, want: 20 * s, jump: true},
		"earlier for good": {off: func(i int) time.Duration { return -time.Duration(i/800) * 2 * s }, want: -2 * s},
	}
	for name, test := range tests {
		var w wallClock
		jumped := false
		for i := range 1500 {
			at := time.Duration(i) * 40 * ms
			jumped = w.see(at, noon().Add(at+test.off(i)), i%50 == 0) || jumped
		}
		got := w.offset - time.Duration(noon().UnixNano())
		if (got-test.want).Abs() > 25*ms || jumped != test.jump {
			t.Errorf("%s: got %v, jumped %v, want %v, %v", name, got, jumped, test.want, test.jump)
		}
	}
}
