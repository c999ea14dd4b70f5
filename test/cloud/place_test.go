package cloud

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"liuyun/client"
)

// speedFile is where a worker keeps how fast it is.
const speedFile = "speed.json"

// measured waits until a worker tells how fast it is, and returns what it tells.
func (n node) measured(t *testing.T, id string) client.Worker {
	t.Helper()
	var w client.Worker
	n.eventually(t, "node "+id+" is measured", func() bool {
		node, err := n.Nodes.Get(t.Context(), id)
		if err != nil || node.Worker == nil || node.Worker.Speed == nil {
			return false
		}
		w = *node.Worker
		return true
	})
	return w
}

// Of a cheap machine on a dirty grid and a dear one on a clean grid, each makes what
// prefers it, and assets show what they took by the figures of the one that made them.
func TestPlacedByPreference(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "127.0.0.1", "--set", "sched.currency=EUR", "--set", "sched.patience=1h")
	cheap := c.join(t, "--set", "worker.measure=true", "--set", "worker.price_per_hour=0.1", "--set", "worker.carbon_intensity=500", "--set", "worker.watts=50")
	clean := c.join(t, "--set", "worker.price_per_hour=4", "--set", "worker.carbon_intensity=20", "--set", "worker.watts=50")
	w := c.measured(t, cheap.Node)
	if *w.Speed <= 0 || w.Watts != 50 || w.WattsFrom != "setting" || w.PricePerHour == nil || *w.PricePerHour != 0.1 || w.Cores < 1 || w.Architecture == "" {
		t.Errorf("the cheap worker tells %+v", w)
	}
	// Both are this machine, which is measured once. It is known at the next start.
	text, err := os.ReadFile(filepath.Join(cheap.Data, speedFile))
	if err != nil {
		t.Fatal(err)
	}
	clean.Stop()
	if err := os.WriteFile(filepath.Join(clean.Data, speedFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
	clean = clean.again(t)
	if again := c.measured(t, clean.Node); *again.Speed != *w.Speed {
		t.Errorf("kept as %g frames a second, read as %g", *w.Speed, *again.Speed)
	}
	c.state(t, clean.Node, "ready", "")

	for prefer, made := range map[string]struct {
		by            worker
		price, carbon float64
	}{"cost": {cheap, 0.1, 500}, "carbon": {clean, 4, 20}} {
		options := quick()
		options.Prefer = prefer
		a := c.ready(t, c.upload(t, film(t), client.UploadOptions{Options: options}).ID)
		if a.Options.Prefer != prefer {
			t.Errorf("asked for %s, kept as %q", prefer, a.Options.Prefer)
		}
		for _, job := range c.jobs(t, a.ID, "") {
			if job.Node != made.by.Node {
				t.Errorf("%s: a %s job was done by %s, want %s", prefer, job.Kind, job.Node, made.by.Node)
			}
		}
		if a.Spent == nil || a.Spent.Currency != "EUR" || a.Spent.PerMinute == nil {
			t.Fatalf("%s: took %+v", prefer, a.Spent)
		}
		hours := a.Spent.CPUSeconds / 3600 / float64(w.Cores)
		for what, figure := range map[string]struct {
			got  *float64
			want float64
		}{
			"cost": {a.Spent.Cost, hours * made.price}, "energy": {a.Spent.Energy, hours * 50}, "carbon": {a.Spent.Carbon, hours * 50 / 1000 * made.carbon},
			"a minute's cost": {a.Spent.PerMinute.Cost, hours * made.price / (a.Duration / 60)},
		} {
			if figure.got == nil || figure.want <= 0 || math.Abs(*figure.got/figure.want-1) > 1e-6 {
				t.Errorf("%s: %s is %v, want %g", prefer, what, figure.got, figure.want)
			}
		}
	}
}
