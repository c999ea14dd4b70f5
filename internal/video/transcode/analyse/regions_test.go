package analyse

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// blob is a density with a share of the looks in a round place.
func blob(x0, y0, radius, share float64) *Map {
	var m Map
	for i := range m {
		dx, dy := float64(i%Columns)-x0, float64(i/Columns)-y0
		m[i] = float32(math.Exp(-(dx*dx + dy*dy) / (2 * radius * radius)))
	}
	m.normalize()
	for i := range m {
		m[i] = float32(share)*m[i] + float32(1-share)/Cells
	}
	return &m
}

// paint lays regions over each other as an encoder does: the first one counts.
func paint(list []Region) (qp [Cells]float64) {
	for i := range qp {
		for _, r := range list {
			if x, y := i%Columns, i/Columns; x >= r.Left && x < r.Right && y >= r.Top && y < r.Bottom {
				qp[i] = r.QP
				break
			}
		}
	}
	return qp
}

// No place ever loses more than 3 steps or wins more than 6, neighbours are at most
// a step apart, and what is laid out is what was asked, to half a step where there
// is room.
func TestOffsetsAndLayout(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var m Map
		for range rapid.IntRange(1, 5).Draw(t, "places") {
			b := blob(rapid.Float64Range(0, Columns).Draw(t, "x"), rapid.Float64Range(0, Rows).Draw(t, "y"),
				rapid.Float64Range(0.3, 12).Draw(t, "radius"), rapid.Float64Range(0, 1).Draw(t, "share"))
			for i := range m {
				m[i] += b[i]
			}
		}
		m.normalize()
		strength := Strength(rapid.Float64Range(0, 1).Draw(t, "strength"))
		offsets := strength.Offsets(&m)
		for i, v := range offsets {
			if !(v >= -MostBetter && v <= 3) {
				t.Fatalf("cell %d is moved by %g", i, v)
			}
			if i%Columns > 0 && math.Abs(v-offsets[i-1]) > steepest+1e-9 {
				t.Fatalf("cell %d is %g from its neighbour", i, v-offsets[i-1])
			}
		}
		most := rapid.IntRange(1, 300).Draw(t, "most")
		list := Layout(&offsets, most)
		if len(list) > most || len(list) > MostRegions {
			t.Fatalf("got %d regions of %d", len(list), most)
		}
		painted := paint(list)
		for i, v := range painted {
			if most >= MostRegions && len(list) > 0 && math.Abs(v-offsets[i]) > 1.01 {
				t.Fatalf("cell %d: got %g, want %g", i, v, offsets[i])
			}
			if v > 3 || v < -MostBetter {
				t.Fatalf("cell %d: got %g", i, v)
			}
		}
	})
}

// The larger the place that is looked at, the less is moved.
func TestStrengthFallsAsTheAreaGrows(t *testing.T) {
	t.Parallel()
	last := -MostBetter - 1
	for _, radius := range []float64{3, 5, 8, 12, 40} {
		offsets := Auto.Offsets(blob(20, 12, radius, 0.8))
		best := 0.0
		for _, v := range offsets {
			best = min(best, v)
		}
		if best <= last {
			t.Errorf("radius %g: the best place wins %.2f, a smaller one won %.2f", radius, -best, -last)
		}
		last = best
	}
	even := Strong.Offsets(blob(20, 12, 3, 0))
	if list := Layout(&even, MostRegions); len(list) != 0 {
		t.Errorf("an even map has %d regions", len(list))
	}
}

func looksAt(places ...[2]float64) []TimedLook {
	var list []TimedLook
	for i, p := range places {
		list = append(list, TimedLook{25 * i, Look{Map: *blob(p[0], p[1], 4, 0.9)}})
	}
	return list
}

// A shot whose looks stay has one map; one whose looks move has several, each
// around where they are at the time; another shot has its own.
func TestSpans(t *testing.T) {
	t.Parallel()
	best := func(s Span) (x int) {
		qp := paint(s.Regions)
		least := 0.0
		for i, v := range qp {
			if v < least {
				least, x = v, i%Columns
			}
		}
		return x
	}
	still := Auto.Spans(looksAt([2]float64{10, 12}, [2]float64{10, 12}, [2]float64{11, 12}), nil, 0, 75, 2000)
	if len(still) != 1 || still[0].Frame != 0 || len(still[0].Regions) == 0 {
		t.Fatalf("still: got %d spans, want one with regions", len(still))
	}
	moving := Auto.Spans(looksAt([2]float64{6, 12}, [2]float64{12, 12}, [2]float64{22, 12}, [2]float64{32, 12}), nil, 0, 100, 2000)
	if len(moving) < 3 {
		t.Fatalf("moving: got %d spans, want at least 3", len(moving))
	}
	for i, s := range moving[1:] {
		if s.Frame <= moving[i].Frame || best(s) <= best(moving[i]) {
			t.Errorf("moving: span %d is from frame %d around column %d, the one before from %d around %d", i+1, s.Frame, best(s), moving[i].Frame, best(moving[i]))
		}
	}
	cut := Auto.Spans(looksAt([2]float64{6, 12}, [2]float64{6, 12}, [2]float64{34, 12}, [2]float64{34, 12}), []int{50}, 0, 100, 2000)
	if len(cut) != 2 || cut[1].Frame != 50 || best(cut[1])-best(cut[0]) < 20 {
		t.Errorf("cut: got %d spans", len(cut))
	}
	if few := Auto.Spans(looksAt([2]float64{6, 12}, [2]float64{12, 12}, [2]float64{22, 12}, [2]float64{32, 12}), nil, 0, 100, 70); len(few) >= len(moving) {
		t.Errorf("with few regions: got %d spans, want fewer than %d", len(few), len(moving))
	}
	if dark := Auto.Spans(nil, nil, 10, 20, 2000); len(dark) != 1 || dark[0].Frame != 10 || len(dark[0].Regions) != 0 {
		t.Errorf("nothing known: got %+v", dark)
	}
}

// Spans are within what is asked for, in order, and together keep to the number.
func TestSpansProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var looks []TimedLook
		frame := 0
		for range rapid.IntRange(0, 20).Draw(t, "looks") {
			frame += rapid.IntRange(1, 30).Draw(t, "gap")
			looks = append(looks, TimedLook{frame, Look{Map: *blob(rapid.Float64Range(0, 40).Draw(t, "x"), 12, 3, 0.9)}})
		}
		var cuts []int
		for at := 0; at < frame; {
			at += rapid.IntRange(3, 200).Draw(t, "shot")
			cuts = append(cuts, at)
		}
		from := rapid.IntRange(0, 300).Draw(t, "from")
		to := from + rapid.IntRange(1, 300).Draw(t, "count")
		most := rapid.IntRange(1, 2400).Draw(t, "most")
		spans := Strong.Spans(looks, cuts, from, to, most)
		count := 0
		for i, s := range spans {
			count += len(s.Regions)
			switch {
			case i == 0 && s.Frame != from:
				t.Fatalf("the first span is at %d, not %d", s.Frame, from)
			case i > 0 && (s.Frame <= spans[i-1].Frame || s.Frame >= to):
				t.Fatalf("span at %d after %d of [%d, %d)", s.Frame, spans[i-1].Frame, from, to)
			}
		}
		if count > most {
			t.Fatalf("%d regions of %d", count, most)
		}
	})
}
