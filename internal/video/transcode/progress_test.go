package transcode

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	var got []Progress
	p := progress{report: func(now Progress) { got = append(got, now) }}
	p.begin(phaseAnalyse, 4, 8*time.Second)
	p.add(phaseAnalyse, 1)
	p.add(phaseEncode, 3) // of another phase
	p.begin(phaseEncode, 10, 8*time.Second)
	p.add(phaseEncode, 5)
	p.add(phaseEncode, -5) // a unit is made again
	p.add(phaseEncode, 12) // more than was thought
	p.begin(phasePackage, 0, 8*time.Second)
	p.add(phasePackage, 1)
	want := []Progress{
		{phaseAnalyse, 0, 8 * time.Second},
		{phaseAnalyse, 2 * time.Second, 8 * time.Second},
		{phaseEncode, 0, 8 * time.Second},
		{phaseEncode, 4 * time.Second, 8 * time.Second},
		{phaseEncode, 0, 8 * time.Second},
		{phaseEncode, 8 * time.Second, 8 * time.Second},
		{phasePackage, 0, 8 * time.Second},
		{phasePackage, 0, 8 * time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

func TestProgressThatNobodyWatches(t *testing.T) {
	t.Parallel()
	var p progress
	p.begin(phaseEncode, 1, time.Second)
	p.add(phaseEncode, 1)
}

// Units count at the same time.
func TestProgressFromManyUnits(t *testing.T) {
	t.Parallel()
	var last Progress
	p := progress{report: func(now Progress) { last = now }}
	p.begin(phaseEncode, 800, time.Minute)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				p.add(phaseEncode, 1)
			}
		})
	}
	group.Wait()
	if last.Done != time.Minute {
		t.Errorf("got %v of %v done, want all", last.Done, last.Total)
	}
}
