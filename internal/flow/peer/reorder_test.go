package peer

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// passed is what came out of a reorder.
type passed struct {
	sequence uint16
	lost     bool
}

func pushAll(r *reorder, sequences []uint16, every time.Duration) (out []passed) {
	at := time.Unix(1000, 0)
	for _, n := range sequences {
		at = at.Add(every)
		r.push(packet{sequence: n, payload: []byte{byte(n)}, at: at}, func(p packet, lost bool) {
			if p.payload[0] != byte(p.sequence) {
				panic("a payload went astray")
			}
			out = append(out, passed{p.sequence, lost})
		})
	}
	return out
}

func TestReorder(t *testing.T) {
	t.Parallel()
	far := func(from uint16, n int) (list []uint16) {
		for i := range n {
			list = append(list, from+uint16(i))
		}
		return list
	}
	tests := map[string]struct {
		in   []uint16
		want []passed
	}{
		"in order over the wrap": {[]uint16{65534, 65535, 0, 1}, []passed{{65534, false}, {65535, false}, {0, false}, {1, false}}},
		"swapped":                {[]uint16{1, 3, 2, 4}, []passed{{1, false}, {2, false}, {3, false}, {4, false}}},
		"twice and late":         {[]uint16{5, 6, 6, 4, 7}, []passed{{5, false}, {6, false}, {7, false}}},
		"one stray packet":       {[]uint16{5, 30000, 6}, []passed{{5, false}, {6, false}}},
	}
	for name, test := range tests {
		if got := pushAll(&reorder{wait: time.Second}, test.in, time.Millisecond); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
	// A packet that does not come is given up after the time that is stated.
	r := &reorder{wait: 20 * time.Millisecond}
	got := pushAll(r, append([]uint16{1, 2}, far(4, 10)...), 5*time.Millisecond)
	if len(got) != 12 || got[2] != (passed{4, true}) || got[3].lost || r.missing != 1 || r.came != 12 {
		t.Errorf("got %v, missing %d, came %d", got, r.missing, r.came)
	}
	// A sender that begins anew is followed.
	if got := pushAll(&reorder{wait: time.Second}, append([]uint16{1, 2}, far(20000, 20)...), time.Millisecond); len(got) < 10 || !got[2].lost {
		t.Errorf("got %v after a jump", got)
	}
	// A hole larger than what is held does not stop it.
	if got := pushAll(&reorder{wait: time.Hour}, append([]uint16{1}, far(1+depth, 3)...), time.Millisecond); len(got) != 4 || !got[1].lost {
		t.Errorf("got %v after a large hole", got)
	}
}

// Whatever is lost or swapped, packets come out in order, each once, and nothing that
// came in time is missing without a word.
func TestReorderKeepsOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint16().Draw(t, "first")
		var in []uint16
		for i := range rapid.IntRange(1, 400).Draw(t, "count") {
			if i == 0 || rapid.IntRange(0, 9).Draw(t, "lost") > 0 {
				in = append(in, first+uint16(i))
			}
		}
		for i := 1; i+1 < len(in); i++ {
			if rapid.IntRange(0, 4).Draw(t, "swap") == 0 {
				in[i], in[i+1] = in[i+1], in[i]
			}
		}
		r := &reorder{wait: 30 * time.Millisecond}
		out := pushAll(r, in, time.Millisecond)
		for i := 1; i < len(out); i++ {
			step := out[i].sequence - out[i-1].sequence
			if int16(step) < 1 || (step > 1) != out[i].lost {
				t.Fatalf("%v after %v", out[i], out[i-1])
			}
		}
		if len(out)+r.held < len(in) {
			t.Fatalf("%d came in, %d came out, %d are held", len(in), len(out), r.held)
		}
	})
}

func TestReorderDoesNotAllocate(t *testing.T) {
	r := &reorder{wait: time.Second}
	p := packet{payload: make([]byte, 1000), at: time.Unix(1000, 0)}
	if n := testing.AllocsPerRun(1000, func() {
		r.push(p, func(packet, bool) {})
		p.sequence++
	}); n != 0 {
		t.Errorf("%v allocations a packet, want none", n)
	}
}
