package site

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/contract/edge"
)

// What is older than an hour leaves bit by bit, and not all at once.
func TestTrafficOfTheLastHour(t *testing.T) {
	t.Parallel()
	var of traffic
	began := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for minute := range 180 {
		now := began.Add(time.Duration(minute) * time.Minute)
		of.add(now, edge.Counts{Requests: 2, Status: map[string]int64{"2xx": 2, "what": 1}, Paths: map[string]int64{"/a": 1}})
		want := int64(min(minute+1, 60+minute%10+1)) // up to ten minutes more than an hour
		if got := of.status(); !cmp.Equal(got, map[string]int64{"2xx": 2 * want}) {
			t.Fatalf("after %d minutes: %v, want %d", minute, got, 2*want)
		}
		if got := of.top(); len(got) != 1 || got[0].Requests != want {
			t.Fatalf("after %d minutes: %v, want %d", minute, got, want)
		}
	}
	for n := range 3 * mostPaths {
		of.add(began.Add(3*time.Hour), edge.Counts{Paths: map[string]int64{string(rune('a' + n)): 1}})
	}
	if got := len(of.parts[len(of.parts)-1].paths); got != mostPaths {
		t.Errorf("%d paths are kept of one part, want %d", got, mostPaths)
	}
}
