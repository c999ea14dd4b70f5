package origin

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// ask takes leave and gives the outcome at once.
func (b *breaker) ask(t *testing.T, n need, o outcome) {
	t.Helper()
	leave, ok := b.take(time.Now(), n)
	if !ok {
		t.Fatalf("no leave in state %s", b.state(time.Now()))
	}
	b.done(leave, o, time.Now())
}

func TestBreakerOpens(t *testing.T) {
	t.Parallel()
	repeat := func(n int, list ...outcome) []outcome { return slices.Repeat(list, n) }
	tests := []struct {
		name     string
		outcomes []outcome
		want     string
	}{
		{"failures in a row", repeat(mostStreak, failure), Open},
		{"one less", repeat(mostStreak-1, failure), Closed},
		{"a success between", slices.Concat(repeat(mostStreak-1, failure), repeat(1, success), repeat(mostStreak-1, failure)), Closed},
		{"half of the last", repeat(leastOutcomes/2, success, failure), Open},
		{"too few for a share", repeat(leastOutcomes/2-1, success, failure), Closed},
		{"a third of the last", repeat(30, success, success, failure), Closed},
		{"what says nothing", repeat(50, nothing), Closed},
		{"what says nothing, between", slices.Concat(repeat(mostStreak-1, failure, nothing), repeat(1, failure)), Open},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var b breaker
			for _, o := range test.outcomes {
				b.ask(t, proven, o)
			}
			if got := b.state(time.Now()); got != test.want {
				t.Errorf("the state is %s, want %s", got, test.want)
			}
		})
	}
}

func (b *breaker) fail(t *testing.T) {
	t.Helper()
	for range mostStreak {
		b.ask(t, proven, failure)
	}
}

func TestBreakerComesBackByOneProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b breaker
		b.fail(t)
		if b.allows(time.Now(), hopeful) {
			t.Error("it is asked as soon as it is open")
		}
		time.Sleep(firstPause)
		if got := b.state(time.Now()); got != HalfOpen {
			t.Fatalf("after the pause the state is %s", got)
		}
		if b.allows(time.Now(), proven) {
			t.Error("what is no probe may be sent while it is half-open")
		}
		probe, ok := b.take(time.Now(), hopeful)
		if !ok {
			t.Fatal("no probe is allowed after the pause")
		}
		if b.allows(time.Now(), hopeful) {
			t.Error("a second probe is allowed beside the first")
		}
		b.done(probe, nothing, time.Now())
		if probe, ok = b.take(time.Now(), hopeful); !ok {
			t.Fatal("no probe is allowed after one that was given up")
		}
		if got := b.done(probe, success, time.Now()); got != Closed {
			t.Errorf("a good probe changes the state to %q", got)
		}
		b.ask(t, proven, failure) // nothing is left of what was before
		if got := b.state(time.Now()); got != Closed {
			t.Errorf("one failure after it has come back: the state is %s", got)
		}
	})
}

func TestBreakerPausesGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b breaker
		b.fail(t)
		want := firstPause
		for range 8 {
			if pause := time.Until(b.until); pause < want/2 || pause > want {
				t.Errorf("the pause is %v, want between %v and %v", pause, want/2, want)
			}
			want = min(2*want, longestPause)
			time.Sleep(time.Until(b.until))
			b.ask(t, hopeful, failure)
		}
		time.Sleep(time.Until(b.until))
		b.ask(t, hopeful, success)
		b.fail(t)
		if pause := time.Until(b.until); pause < longestPause/2 {
			t.Errorf("it failed as soon as it was back, and pauses for %v only", pause)
		}
		time.Sleep(time.Until(b.until))
		b.ask(t, hopeful, success)
		time.Sleep(settled + time.Second)
		b.fail(t)
		if pause := time.Until(b.until); pause > firstPause {
			t.Errorf("it was well for long, and pauses for %v", pause)
		}
	})
}

func TestBreakerAndWhatBeganBefore(t *testing.T) {
	t.Parallel()
	var b breaker
	early, _ := b.take(time.Now(), proven)
	b.fail(t)
	if changed := b.done(early, success, time.Now()); changed != "" {
		t.Errorf("a success that began before it opened makes it %s", changed)
	}
	b.ask(t, forced, failure)
	if got := b.state(time.Now()); got != Open {
		t.Errorf("after a forced failure the state is %s", got)
	}
	b.ask(t, forced, success)
	if got := b.state(time.Now()); got != Closed {
		t.Errorf("after a forced success the state is %s", got)
	}
}

func TestBreakerForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b breaker
		for range leastOutcomes/2 - 1 {
			b.ask(t, proven, success)
			b.ask(t, proven, failure)
		}
		time.Sleep(forgotten + time.Second)
		b.ask(t, proven, success)
		b.ask(t, proven, failure)
		if got := b.state(time.Now()); got != Closed {
			t.Errorf("by failures of long ago the state is %s", got)
		}
	})
}

// Whatever comes, there is one probe at most, and leave is never lost for good.
func TestBreakerHasOneProbe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var b breaker
		var out []ticket
		now := time.Unix(1000, 0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			if len(out) > 0 && rapid.Bool().Draw(t, "done") {
				i := rapid.IntRange(0, len(out)-1).Draw(t, "which")
				b.done(out[i], rapid.SampledFrom([]outcome{nothing, success, failure, failure}).Draw(t, "outcome"), now)
				out = slices.Delete(out, i, i+1)
				continue
			}
			n := rapid.SampledFrom([]need{proven, hopeful, forced}).Draw(t, "need")
			allowed := b.allows(now, n)
			leave, ok := b.take(now, n)
			if ok != allowed {
				t.Fatalf("allows says %t, and take %t", allowed, ok)
			}
			if ok {
				out = append(out, leave)
			}
			probes := 0
			for _, leave := range out {
				if leave.probe && leave.turn == b.turn {
					probes++
				}
			}
			if b.open.Load() && probes > 1 {
				t.Fatalf("there are %d probes", probes)
			}
		}
		for _, leave := range out {
			b.done(leave, nothing, now)
		}
		if !b.allows(now.Add(longestPause), hopeful) {
			t.Fatal("nobody may ever ask again")
		}
	})
}
