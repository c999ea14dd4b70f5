package vod

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"liuyun/internal/contract/encode"
	"liuyun/internal/contract/worker"
	"liuyun/internal/kit/job"
	"liuyun/internal/kit/store"
)

// spend lets units of an asset end with what each took, and then the asset itself.
func (s *Service) spend(t *testing.T, id string, own worker.Spent, units ...worker.Spent) {
	t.Helper()
	err := s.DB.Write(t.Context(), func(tx *store.Tx) error {
		for _, u := range units {
			text, err := json.Marshal(encode.UnitResult{CPUSeconds: u.CPU, Spent: u})
			if err != nil {
				return err
			}
			if err := s.unitEnded(tx, job.Job{ID: "job_u", Tenant: testTenant, Group: id, State: job.Done, Result: text}); err != nil {
				return err
			}
		}
		a, err := findAsset(tx, testTenant, id)
		if err != nil {
			return err
		}
		text, err := json.Marshal(encode.Result{Prefix: "assets/" + id + "/x/", Duration: 30, OwnCPUSeconds: own.CPU, OwnSpent: own})
		if err != nil {
			return err
		}
		return s.ended(tx, job.Job{ID: a.Job, Tenant: testTenant, Group: id, State: job.Done, Result: text})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What an asset took is the sum of its units, wherever they were made, and of the
// work around them; what is not known of one is known of none.
func TestSpent(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	known := func(cpu float64) worker.Spent {
		return worker.Spent{CPU: cpu, Cost: new(cpu / 100), Energy: new(cpu / 10), Carbon: new(cpu)}
	}
	noGrid := worker.Spent{CPU: 10, Cost: new(1.0), Energy: new(2.0)}
	tests := []struct {
		name  string
		own   worker.Spent
		units []worker.Spent
		want  *worker.Spent
	}{
		{"all known", known(2), []worker.Spent{known(10), known(8)}, new(known(20))},
		{"one without a grid", known(2), []worker.Spent{known(8), noGrid}, &worker.Spent{CPU: 20, Cost: new(1.1), Energy: new(3.0)}},
		{"one of an earlier version", known(2), []worker.Spent{{CPU: 8}, known(10)}, &worker.Spent{CPU: 20}},
		{"found and not made", known(2), []worker.Spent{{}, known(8)}, new(known(10))},
		{"nothing counted", worker.Spent{}, nil, nil},
	}
	for _, test := range tests {
		id := s.begin(t)
		if err := s.Uploaded(t.Context(), id, sourceName(id), 10); err != nil {
			t.Fatal(err)
		}
		s.spend(t, id, test.own, test.units...)
		a := s.read(t, id)
		if diff := cmp.Diff(test.want, a.Spent, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		shown := a.spent("EUR")
		if test.want == nil {
			if shown != nil {
				t.Errorf("%s: shown as %+v", test.name, shown)
			}
			continue
		}
		if shown.Currency != "EUR" || shown.PerMinute == nil {
			t.Fatalf("%s: shown as %+v", test.name, shown)
		}
		if diff := cmp.Diff(new(test.want.Per(0.5)), shown.PerMinute, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
			t.Errorf("%s, a minute (-want +got):\n%s", test.name, diff)
		}
	}
}

// What was spent goes with the asset.
func TestSpentIsRemoved(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	id := s.begin(t)
	if err := s.Uploaded(t.Context(), id, sourceName(id), 10); err != nil {
		t.Fatal(err)
	}
	s.spend(t, id, worker.Spent{CPU: 1})
	if err := s.remove(t.Context(), testTenant, id, func(int64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, after := range []time.Duration{0, 2 * lateWriter} {
		if _, err := s.sweepOnce(t.Context(), time.Now().Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	var left int
	err := s.DB.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(`SELECT count(*) FROM asset_spent`).Scan(&left) })
	if err != nil || left != 0 {
		t.Errorf("%d records are left, %v", left, err)
	}
}
