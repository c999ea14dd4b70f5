package app

import (
	"path/filepath"
	"slices"
	"testing"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/store"
	"liuyun/internal/testkit"
)

// database gives a configuration with an empty database of a kind, and opens it, or the
// one in a data folder.
type database struct {
	config func(t *testing.T) Config
	open   func(t *testing.T, o RestoreOptions) *store.DB
}

// databases are SQLite and a PostgreSQL of the test's own.
func databases(t *testing.T) map[string]database {
	t.Helper()
	server := testkit.Postgres(t)
	return map[string]database{
		store.SQLite: {
			func(*testing.T) Config { return DefaultConfig() },
			func(t *testing.T, o RestoreOptions) *store.DB { return openStore(t, filepath.Join(o.Data, storeName)) },
		},
		store.Postgres: {
			func(t *testing.T) Config {
				c := DefaultConfig()
				c.Store.URL = server.NewDatabase(t)
				return c
			},
			func(t *testing.T, o RestoreOptions) *store.DB { return openPostgres(t, o.Config.Store) },
		},
	}
}

// stepNames names all steps in their order.
func stepNames() (names []string) {
	var r *restore
	for _, s := range append(r.collecting(), r.placing()...) {
		names = append(names, s.name)
	}
	return names
}

// killed is a restore that ended after a step, as kill -9 ends it.
func killed(t *testing.T, o RestoreOptions, after string) {
	t.Helper()
	r := newRestore(t, o)
	stopAfter(t, r, after)
	r.data.Close()
}

// restored checks that the same restore goes on to its end, with every record and
// object, and that a server starts in the folder.
func restored(t *testing.T, o RestoreOptions, db database) {
	t.Helper()
	result, err := Restore(t.Context(), o)
	if err != nil || result.Assets != fixtureMany || len(result.Missing) > 0 {
		t.Fatalf("again: got %+v, %v", result, err)
	}
	records := db.open(t, o)
	if err := records.Migrate(t.Context(), migrations()...); err != nil {
		t.Errorf("a server does not take the database: %v", err)
	}
	checkFixture(t, records)
	data, err := OpenData(o.Data)
	if err != nil {
		t.Fatalf("a server does not take the folder: %v", err)
	}
	data.Close()
	if exists(filepath.Join(o.Data, restoringName)) {
		t.Error("something is left in " + restoringName)
	}
}

// Killed after any step, the same command finishes a restore, into both kinds of
// database. Until it has, no server starts in the folder, and none on the database
// before every record was read in its place.
func TestRestoreKilled(t *testing.T) {
	t.Parallel()
	from := made(t, withMedia(t, fixtureData(t)))
	steps := stepNames()
	for kind, db := range databases(t) {
		for n, step := range steps[:len(steps)-1] { // after the last there is nothing to do
			t.Run(kind+"/"+step, func(t *testing.T) {
				o := restoreOptions(from, filepath.Join(t.TempDir(), "data"))
				o.Config = db.config(t)
				killed(t, o, step)
				if n < slices.Index(steps, "place") {
					_, err := OpenData(o.Data)
					wantCode(t, "a server in the folder", err, fault.Conflict)
				}
				if kind == store.Postgres && n >= slices.Index(steps, "records") && n < slices.Index(steps, "release") {
					wantCode(t, "a server on the database", db.open(t, o).Migrate(t.Context(), migrations()...), fault.Conflict)
				}
				restored(t, o, db)
			})
		}
	}
}

// Killed again and again, after one step more each time, it is finished by the last.
func TestRestoreKilledOften(t *testing.T) {
	t.Parallel()
	from := made(t, withMedia(t, fixtureData(t)))
	for kind, db := range databases(t) {
		t.Run(kind, func(t *testing.T) {
			o := restoreOptions(from, filepath.Join(t.TempDir(), "data"))
			o.Config = db.config(t)
			for _, step := range stepNames() {
				if step == "place" { // no restore begins from there
					break
				}
				killed(t, o, step)
			}
			restored(t, o, db)
		})
	}
}

// Where a database has records that servers use, nothing in it is changed: a restore
// that only has to place its folder does so, any other is refused.
func TestRestoreKeepsUsedRecords(t *testing.T) {
	t.Parallel()
	from := made(t, withMedia(t, fixtureData(t)))
	db := databases(t)[store.Postgres]
	o := restoreOptions(from, filepath.Join(t.TempDir(), "data"))
	o.Config = db.config(t)
	killed(t, o, "release")
	records := db.open(t, o)
	if err := records.Migrate(t.Context(), migrations()...); err != nil { // a server of another node
		t.Fatal(err)
	}
	rename(t, records)
	if result, err := Restore(t.Context(), o); err != nil || result.Assets != fixtureMany {
		t.Errorf("again: got %+v, %v", result, err)
	}
	elsewhere := o
	elsewhere.Data = filepath.Join(t.TempDir(), "elsewhere")
	_, err := Restore(t.Context(), elsewhere)
	wantCode(t, "into another folder", err, fault.Conflict)
	if exists(filepath.Join(elsewhere.Data, restoringName)) {
		t.Error("it was begun, and refused then")
	}
	if got := column(t, records, "SELECT name FROM assets WHERE name = 'renamed'"); len(got) != fixtureMany {
		t.Errorf("%d assets are as the server left them, want %d", len(got), fixtureMany)
	}
}

// rename changes records, as a server does.
func rename(t *testing.T, db *store.DB) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE assets SET name = ?", "renamed")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What the folder and the database of a killed restore are, if somebody changes one of
// them before the next run.
func TestRestoreKilledThenChanged(t *testing.T) {
	t.Parallel()
	from := made(t, withMedia(t, fixtureData(t)))
	data := fixtureData(t)
	rename(t, openStore(t, filepath.Join(data, storeName)))
	other := made(t, data)
	db := databases(t)[store.Postgres]
	for _, step := range []string{"records", "complete", "look"} {
		t.Run(step, func(t *testing.T) {
			o := restoreOptions(from, filepath.Join(t.TempDir(), "data"))
			o.Config = db.config(t)
			killed(t, o, step)
			another := o
			another.From = other
			_, err := Restore(t.Context(), another)
			wantCode(t, "another backup", err, fault.Conflict)

			fresh := o // the folder is lost
			fresh.Data = filepath.Join(t.TempDir(), "fresh")
			restored(t, fresh, db)

			o.Config = db.config(t) // the database is made anew
			restored(t, o, db)
		})
	}
}

// A folder of which a restore is done, but for what it should have cleaned, is not
// restored into from another backup; a server cleans it.
func TestRestoreNotCleaned(t *testing.T) {
	t.Parallel()
	from, other := made(t, withMedia(t, fixtureData(t))), made(t, fixtureData(t))
	o := restoreOptions(from, filepath.Join(t.TempDir(), "data"))
	killed(t, o, "place")
	another := o
	another.From = other
	_, err := Restore(t.Context(), another)
	wantCode(t, "another backup", err, fault.Conflict)
	data, err := OpenData(o.Data)
	if err != nil {
		t.Fatal(err)
	}
	data.Close()
	if exists(filepath.Join(o.Data, restoringName)) {
		t.Error("the server left " + restoringName)
	}
	_, err = Restore(t.Context(), o)
	wantCode(t, "after a server", err, fault.Conflict)
}
