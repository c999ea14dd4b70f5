package app

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"liuyun/internal/contract/worker"
	"liuyun/internal/control/node"
	"liuyun/internal/kit/job"
)

// Workers are compared by the work that a price buys, not by the price.
func TestPeers(t *testing.T) {
	t.Parallel()
	got := peers([]node.Worker{
		{Node: "slow", Class: "x", Figures: &worker.Figures{Cores: 2, Speed: new(10.0), Watts: 20, Price: new(0.72), Carbon: new(500.0)}},
		{Node: "fast", Class: "x", Figures: &worker.Figures{Cores: 2, Speed: new(40.0), Watts: 40, Price: new(1.44), Carbon: new(500.0)}},
		{Node: "unmeasured", Class: "x", Figures: &worker.Figures{Cores: 2, Watts: 40, Price: new(1.0)}},
		{Node: "earlier", Class: "x"},
	})
	want := []job.Peer{
		{Node: "slow", Class: "x", Cost: 0.72 / 3600 / 20, Carbon: 20.0 / 3600 / 1000 * 500 / 20},
		{Node: "fast", Class: "x", Cost: 1.44 / 3600 / 80, Carbon: 40.0 / 3600 / 1000 * 500 / 80},
		{Node: "unmeasured", Class: "x", Cost: -1, Carbon: -1},
		{Node: "earlier", Class: "x", Cost: -1, Carbon: -1},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
