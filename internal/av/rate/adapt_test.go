package rate

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

const testCap = 1_000_000

// steps runs seconds of one kind, of a rung whose bits follow its offset, and returns
// the offset of each.
func steps(a *Adapter, seconds int, seen Seen, fill float64) (offsets []float64, last Choice) {
	level := LiveUnmoved
	if len(a.rungs) > 0 {
		level = a.rungs[0].level
	}
	for n := range seconds {
		seen.Cut = seen.Cut && n == 0
		bits := fill * testCap * math.Pow(2, -LiveOffsets()[level]/halving)
		if n%2 == 0 { // a key frame
			bits *= 1.5
		} else {
			bits *= 0.5
		}
		last = a.Step(seen, []Spent{{Bits: int64(bits), Pictures: 25, Pace: 25, Cap: testCap}})[0]
		level = last.Offset
		offsets = append(offsets, LiveOffsets()[level])
	}
	return offsets, last
}

func TestAdapter(t *testing.T) {
	t.Parallel()
	if LiveOffsets()[LiveUnmoved] != 0 {
		t.Error("what is not moved is")
	}
	for _, test := range []struct {
		name        string
		seen        Seen
		fill        float64
		least, most float64
		why         Why
	}{
		{"as in most places", Seen{Residual: 1.9}, 0.7, 0, 0, Unmoved},
		{"much detail that hardly moves", Seen{Residual: 0.8}, 0.95, 1.5, 4.5, Costly},
		{"much that changes, for few bits", Seen{Residual: 6}, 0.6, -3, -1.5, Cheap},
		{"a still slide", Seen{Still: 1}, 0.05, -3, -3, Cheap},
		{"a still that takes much", Seen{Still: 1}, 1.2, 0, 0, Unmoved},
		{"black", Seen{Black: 1, Residual: 0.1}, 0.02, 3, 3, Black},
		{"much that changes, at the cap", Seen{Residual: 8}, 0.99, 0, 0, Capped},
		{"noise", Seen{Residual: 3}, 3, 3, 6, Costly},
		{"nothing was made", Seen{Residual: 1}, 0, 0, 0, Unmoved},
	} {
		var a Adapter
		offsets, last := steps(&a, 20, test.seen, test.fill)
		if got := offsets[19]; got < test.least || got > test.most {
			t.Errorf("%s: an offset of %g, want %g to %g", test.name, got, test.least, test.most)
		}
		if last.Why != test.why && test.least == test.most {
			t.Errorf("%s: because %q, want %q", test.name, last.Why, test.why)
		}
		for i := 11; i < 20; i++ {
			if offsets[i] != offsets[10] {
				t.Errorf("%s: it flutters: %v", test.name, offsets)
				break
			}
		}
	}
}

// What goes to and fro about a limit moves nothing; with a cut it begins anew.
func TestAdapterHolds(t *testing.T) {
	t.Parallel()
	var a Adapter
	changes, before := 0, 0.0
	for n := range 600 {
		seen := Seen{Residual: 1.4 + 0.5*float64(n%2)}
		offsets, _ := steps(&a, 1, seen, 0.8)
		if n > 5 && offsets[0] != before {
			changes++
		}
		before = offsets[0]
	}
	if changes > 2 {
		t.Errorf("in ten minutes it has moved %d times", changes)
	}
	steps(&a, 20, Seen{Residual: 0.3}, 1)
	offsets, _ := steps(&a, 6, Seen{Residual: 8, Cut: true}, 0.5)
	if offsets[0] != 0 || offsets[5] > -1.5 {
		t.Errorf("from a cut on the offsets are %g", offsets)
	}
}

// Whatever comes, choices are among those that there are, one a rung.
func TestAdapterTakesAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var a Adapter
		any := rapid.Float64()
		for range rapid.IntRange(1, 20).Draw(t, "seconds") {
			seen := Seen{Residual: math.Abs(any.Draw(t, "residual")), Black: rapid.Float64Range(0, 1).Draw(t, "black"), Cut: rapid.Bool().Draw(t, "cut")}
			spent := make([]Spent, rapid.IntRange(0, 4).Draw(t, "rungs"))
			for i := range spent {
				spent[i] = Spent{Bits: rapid.Int64().Draw(t, "bits"), Cap: rapid.Int64().Draw(t, "cap"), Pictures: rapid.Int64().Draw(t, "pictures"), Pace: any.Draw(t, "pace")}
			}
			choices := a.Step(seen, spent)
			if len(choices) != len(spent) {
				t.Fatalf("%d choices for %d rungs", len(choices), len(spent))
			}
			for _, c := range choices {
				if c.Offset < 0 || c.Offset >= len(LiveOffsets()) {
					t.Fatalf("an offset of number %d", c.Offset)
				}
			}
		}
	})
}
