package store

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
)

// fine is a check that finds nothing wrong.
func fine(*Tx) error { return nil }

// Records of a restore that is not done are whole, and nobody's. They are restored
// once, and never over anything.
func testRestoreHeld(t *testing.T, open opener) {
	from := filled(t, open(t))
	path, other := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "other")
	want := contents(t, from)
	if err := from.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	write(t, from, "DELETE FROM parts")
	if err := from.Backup(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	db := sameKind(t, from)
	restore := func(path string) error { return db.RestoreHeld(t.Context(), path, fine, things(), parts()) }
	wantState := func(when string, want State) {
		t.Helper()
		if got, err := db.StateOf(t.Context(), path); err != nil || got != want {
			t.Errorf("%s: got state %d, %v, want %d", when, got, err, want)
		}
	}
	conflict := func(what string, err error) {
		t.Helper()
		if fault.CodeOf(err) != fault.Conflict {
			t.Errorf("%s: got %v, want conflict", what, err)
		}
	}
	otherState := func() error { _, err := db.StateOf(t.Context(), other); return err }

	bad := errors.New("not what it should be")
	err := db.RestoreHeld(t.Context(), path, func(tx *Tx) error {
		if got, err := column(tx, "SELECT n FROM parts"); err != nil || len(got) != 1 {
			t.Errorf("the check sees %v, %v", got, err)
		}
		return bad
	}, things(), parts())
	if !errors.Is(err, bad) {
		t.Errorf("a check that fails: got %v", err)
	}
	wantState("after a check that fails", Empty)
	for range 2 {
		if err := restore(path); err != nil {
			t.Fatal(err)
		}
		wantState("restored", Filled)
	}
	conflict("a server", db.Migrate(t.Context(), things(), parts()))
	conflict("another backup", restore(other))
	conflict("another backup", otherState())
	if diff := cmp.Diff(want, contents(t, db)); diff != "" {
		t.Errorf("restored (-want +got)\n%s", diff)
	}

	for range 2 {
		if err := db.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantState("released", Released)
	}
	migrated(t, db, things(), parts())
	write(t, db, "INSERT INTO parts (thing) VALUES ('b')")
	conflict("over used records", restore(path))
	conflict("another backup over used records", restore(other))
	conflict("another backup over used records", otherState())
	if got := strs(t, db, "SELECT n FROM parts ORDER BY n"); len(got) != 2 {
		t.Errorf("used records have become %v", got)
	}
	if _, err := from.StateOf(t.Context(), path); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("records that were never restored: got %v, want conflict", err)
	}
	if err := from.Release(t.Context()); err != nil {
		t.Errorf("nothing to release: %v", err)
	}
}
