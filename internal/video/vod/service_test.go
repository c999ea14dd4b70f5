package vod

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/job"
	"liuyun/internal/kit/store"
)

const testTenant = "ten_a"

// newTestService returns a service on records of its own. Its bus does not run: events
// stay in the outbox, where a test can read them.
func newTestService(t *testing.T) *Service {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), t.TempDir(), store.DefaultConfig(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context(), bus.Migrations(), job.Migrations(), Migrations()); err != nil {
		t.Fatal(err)
	}
	b, err := bus.New(bus.Options{Name: "one", Folder: t.TempDir(), Config: bus.DefaultConfig(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := blob.NewFS(t.TempDir(), blob.Reserve{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { objects.Close() })
	return New(Deps{
		DB: db, Bus: b, Jobs: job.NewQueue(db, b, log), Blob: objects, Log: log, Viewer: DefaultViewerConfig(),
		Signer: guard.NewSigner(make([]byte, 32)), Room: func() error { return nil },
		CheckOptions: func(encode.Options) error { return nil },
		Encoded:      func(*store.Tx, string, time.Duration, float64) error { return nil },
		Received:     func(*store.Tx, string) error { return nil },
		Served:       func(string, int64) {},
	})
}

// begin makes an asset whose source is on its way.
func (s *Service) begin(t *testing.T) string {
	t.Helper()
	asset, err := s.BeginUpload(t.Context(), testTenant, UploadRequest{Name: "film.mp4", Size: 10, Unfinished: 10})
	if err != nil {
		t.Fatal(err)
	}
	return asset
}

func (s *Service) read(t *testing.T, asset string) (a *asset) {
	t.Helper()
	err := s.DB.Read(t.Context(), func(tx *store.Tx) (err error) {
		a, err = anyAsset(tx, asset)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// told is how many events of a type were written.
func (s *Service) told(t *testing.T, kind string) (count int) {
	t.Helper()
	err := s.DB.Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT COUNT(*) FROM outbox WHERE type = ?`, kind).Scan(&count)
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// What is said of an upload twice, as after a crash, changes and tells nothing more;
// and an upload that is given up harms no asset that has its source.
func TestUploadIsToldOnce(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	id := s.begin(t)
	for range 2 {
		if err := s.Uploaded(t.Context(), id, sourceName(id), 10); err != nil {
			t.Fatal(err)
		}
	}
	before, updates := s.read(t, id), s.told(t, "asset.updated")
	if before.Status != Queued || updates != 2 { // it is coming, and it is here
		t.Errorf("got %s and %d updates, want queued and 2", before.Status, updates)
	}
	if err := s.UploadFailed(t.Context(), id, fault.New(fault.Canceled, "given up")); err != nil {
		t.Fatal(err)
	}
	if after := s.read(t, id); after.Rev != before.Rev || after.Status != Queued || s.told(t, "asset.failed") != 0 {
		t.Errorf("got revision %d and %s, %d failures told; want %d, queued and none", after.Rev, after.Status, s.told(t, "asset.failed"), before.Rev)
	}
}

// Resting uploads are found by the last sign of life.
func TestResting(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	coming, here := s.begin(t), s.begin(t)
	if err := s.Uploaded(t.Context(), here, sourceName(here), 10); err != nil {
		t.Fatal(err)
	}
	for since, want := range map[time.Time]int{time.Now().Add(-time.Minute): 0, time.Now().Add(time.Minute): 1} {
		got, err := s.Resting(t.Context(), since)
		if err != nil || len(got) != want || want == 1 && got[0] != coming {
			t.Errorf("since %s: got %v, %v, want %d", since, got, err, want)
		}
	}
}

// However many assets are deleted, what the others have no use for is removed, and the
// next look at the deleted ones comes soon.
func TestSweepOfMany(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	now := time.Now().UTC()
	kept := &asset{ID: s.ids.New("ast"), Tenant: testTenant, Status: Ready, Created: now, Garbage: []string{"assets/z/old/"}}
	err := s.DB.Write(t.Context(), func(tx *store.Tx) error {
		for range 2 * sweepBatch {
			deleted := &asset{ID: s.ids.New("ast"), Tenant: testTenant, Status: Ready, Created: now, Deleted: now, Touched: now, Garbage: []string{"assets/y/old/"}}
			if err := insertAsset(tx, deleted); err != nil {
				return err
			}
		}
		return insertAsset(tx, kept)
	})
	if err != nil {
		t.Fatal(err)
	}
	more, err := s.sweepOnce(t.Context(), now)
	if err != nil || more || len(s.read(t, kept.ID).Garbage) > 0 {
		t.Errorf("got %v, %v, and %v is left", more, err, s.read(t, kept.ID).Garbage)
	}
	if more, err := s.sweepOnce(t.Context(), now.Add(2*lateWriter)); err != nil || !more {
		t.Errorf("with more than it takes at a time: got %v, %v", more, err)
	}
}

// A failed asset that is tried again at once keeps the units that its new job makes.
func TestRetryKeepsUnits(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	now := time.Now().UTC()
	a := &asset{ID: s.ids.New("ast"), Tenant: testTenant, Status: Failed, Error: &job.Failure{Code: fault.Internal}, Source: "assets/x/source", Created: now}
	a.Garbage = []string{encode.UnitsPrefix(a.ID)}
	if err := s.DB.Write(t.Context(), func(tx *store.Tx) error { return insertAsset(tx, a) }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.retry(t.Context(), testTenant, a.ID); err != nil {
		t.Fatal(err)
	}
	unit := encode.UnitsPrefix(a.ID) + "made"
	if _, err := s.Blob.Put(t.Context(), unit, strings.NewReader("unit")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.sweepOnce(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Blob.Stat(t.Context(), unit); err != nil {
		t.Errorf("after the sweep: %v", err)
	}
}
