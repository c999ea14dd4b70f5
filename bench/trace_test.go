package main

import (
	"slices"
	"testing"
)

// A trace is the same each time, with sizes and popularity as the model has them.
func TestTraceIsTheModels(t *testing.T) {
	t.Parallel()
	model := newTraceModel(200_000)
	tr := model.make()
	if again := model.make(); !slices.Equal(tr.requests, again.requests) || !slices.Equal(tr.sizes, again.sizes) {
		t.Error("two traces of one model differ")
	}
	least, most := slices.Min(tr.sizes), slices.Max(tr.sizes)
	if least < leastSize/2 || most > mostSize/2 {
		t.Errorf("sizes are %d to %d; they are halved, want %d to %d", least, most, leastSize/2, mostSize/2)
	}
	sorted := slices.Sorted(slices.Values(tr.sizes))
	// The web's median is 8 KiB; the segments of video lift it a little.
	if got := sorted[len(sorted)/2]; got < 8<<10 || got > 10<<10 {
		t.Errorf("the median is %d bytes, want 8 to 10 KiB", got)
	}
	counts := make(map[uint32]int)
	for _, n := range tr.requests {
		counts[n]++
	}
	// 1/H of all requests but those for what is asked for once, with H = Σ r^-0.9.
	if got, want := float64(counts[0])/float64(len(tr.requests)), 0.0390; got < want*0.9 || got > want*1.1 {
		t.Errorf("the first object has %.4f of the requests, want %.4f", got, want)
	}
	facts := tr.facts()
	if facts.objects != len(counts) || facts.once < facts.objects/2 {
		t.Errorf("got %d objects, %d asked for once; want %d, and more than half of them", facts.objects, facts.once, len(counts))
	}
}
