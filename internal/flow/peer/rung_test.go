package peer

import (
	"log/slog"
	"testing"
	"time"

	"liuyun/internal/flow/ingest"
)

func ladder(rates ...int64) (list []choice) {
	for _, r := range rates {
		list = append(list, choice{bitrate: r})
	}
	return list
}

// play asks the chooser four times a second and returns what it chose at the end.
func play(c *chooser, now *time.Time, choices []choice, current int, seconds float64, estimate func(current int) int64) int {
	for range int(seconds * 4) {
		*now = now.Add(250 * time.Millisecond)
		current = c.choose(*now, choices, current, estimate(current))
	}
	return current
}

func TestChooser(t *testing.T) {
	t.Parallel()
	choices := ladder(4_000_000, 2_000_000, 800_000, 300_000)
	if got := start(choices, startRate); got != 2 {
		t.Errorf("it starts with %d, want 2", got)
	}
	if got := start(choices, 1); got != 3 {
		t.Errorf("on a narrow line it starts with %d, want the least", got)
	}
	if got := start(ladder(0), 1); got != 0 {
		t.Errorf("got %d of one choice", got)
	}
	// The estimate follows what is sent: 1.5 times as much, where the line carries it.
	line := func(bits int64) func(int) int64 {
		return func(current int) int64 { return min(bits, choices[current].bitrate*3/2) }
	}
	now := time.Unix(1000, 0)
	var c chooser
	if got := play(&c, &now, choices, 2, 30, line(100_000_000)); got != 0 {
		t.Errorf("on a broad line it ends with %d, want the best", got)
	}
	if got := play(&c, &now, choices, 0, 3, line(1_000_000)); got != 2 {
		t.Errorf("when the line narrows it takes %d, want 2", got)
	}
	// A line that carries 2.5 Mbit/s: the best is tried less and less often.
	narrow, tries := line(2_500_000), 0
	current := 2
	for range 4 * 300 {
		now = now.Add(250 * time.Millisecond)
		next := c.choose(now, choices, current, narrow(current))
		if next == 0 && current != 0 {
			tries++
		}
		current = next
	}
	if tries == 0 || tries > 12 || current == 3 {
		t.Errorf("%d tries in five minutes, the last choice is %d", tries, current)
	}
	// A rendition that is gone is replaced.
	if got := c.choose(now, choices[:1], -1, 1); got != 0 {
		t.Errorf("got %d", got)
	}
}

// line is a connection that carries so many bits a second, as is estimated.
type line int

func (l *line) GetTargetBitrate() int { return int(*l) }

// Each viewer is to get what the estimate of their own connection allows: less within
// two seconds where it is bad, more when it has been good for a while.
func TestTheEstimateChooses(t *testing.T) {
	t.Parallel()
	source, large, small := newRendition(t, 'S'), newRendition(t, 'L'), newRendition(t, 'M')
	carries := line(3_000_000)
	v := &viewer{
		session: newSession("", slog.New(slog.DiscardHandler)), packs: &packs{}, estimate: &carries,
		program: &program{source.Stream, []ingest.Rung{{Stream: small.Stream, Bitrate: 500_000}, {Stream: large.Stream, Bitrate: 2_000_000}}},
	}
	v.wanted.Store(large.Stream)
	now := time.Unix(1000, 0)
	pass := func(d time.Duration) {
		for end := now.Add(d); now.Before(end); now = now.Add(250 * time.Millisecond) {
			v.check(now)
		}
	}
	for _, test := range []struct {
		carries line
		lasts   time.Duration
		want    *rendition
	}{
		{3_000_000, 5 * time.Second, large},
		{300_000, 500 * time.Millisecond, large}, // a bad moment
		{3_000_000, time.Second, large},
		{300_000, 2 * time.Second, small},
		{700_000, 2 * time.Second, small},
		{700_000, 2500 * time.Millisecond, large}, // tried
		{700_000, 2 * time.Second, small},         // in vain
		{700_000, 5 * time.Second, small},         // not again soon
		{3_000_000, 10 * time.Second, large},
	} {
		carries = test.carries
		if pass(test.lasts); v.wanted.Load() != test.want.Stream {
			t.Fatalf("after %v at %d bits a second it is not to get %c", test.lasts, carries, test.want.name)
		}
	}
}
