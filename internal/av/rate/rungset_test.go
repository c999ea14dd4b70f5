package rate

import (
	"testing"
	"time"
)

// play has losses seen once a second from a moment on, and returns when the i-th rung
// was left out or came back first, or -1.
func play(s *RungSet, from, seconds int, i int, losses ...float64) int {
	was := s.Out(i)
	for n := range seconds {
		s.See(time.Duration(from+n)*time.Second, losses)
		if s.Out(i) != was {
			return from + n
		}
	}
	return -1
}

func TestRungSet(t *testing.T) {
	t.Parallel()
	var s RungSet
	if at := play(&s, 0, 1000, 0, 30, 35); at >= 0 || s.Doubtful() {
		t.Errorf("rungs that show more: one is left out after %d s", at)
	}
	if at := play(&s, 1000, 100, 0, 48, 30); at != 1030 {
		t.Errorf("a rung that shows no more is left out at %d s, want 1030", at)
	}
	if s.Out(1) || s.Out(2) || !s.Doubtful() {
		t.Error("others are left out too")
	}
	if at := play(&s, 1031, 100, 0, 41, 30); at >= 0 {
		t.Errorf("between the limits it has come back at %d s", at)
	}
	if at := play(&s, 1200, 100, 0, 30, 30); at != 1200 {
		t.Errorf("it has come back at %d s, want 1200", at)
	}
	if at := play(&s, 1201, 100, 0, 48, 30); at != 1261 {
		t.Errorf("a second time it is left out at %d s, want 1261", at)
	}
}

// What changes every now and then is not left out again and again.
func TestRungSetDoesNotFlutter(t *testing.T) {
	t.Parallel()
	var s RungSet
	changes := 0
	for second := range 4 * 3600 {
		loss := 50.0
		if second%100 >= 50 {
			loss = 30
		}
		if s.See(time.Duration(second)*time.Second, []float64{loss}) {
			changes++
		}
	}
	if changes > 8 {
		t.Errorf("in four hours it has changed %d times", changes)
	}
}

// Rungs come and go with the plan.
func TestRungSetOfFewer(t *testing.T) {
	t.Parallel()
	var s RungSet
	play(&s, 0, 31, 0, 50, 50)
	play(&s, 30, 1, 1, 50, 50)
	if !s.Out(0) || !s.Out(1) || s.Out(2) {
		t.Error("two rungs are to be left out")
	}
	s.See(31*time.Second, []float64{50})
	if !s.Out(0) || s.Out(1) {
		t.Error("what is the smallest now is left out")
	}
	s.Forget()
	if s.Out(0) {
		t.Error("it was not forgotten")
	}
}
