package app

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/store"
	"liuyun/internal/testkit"
)

// column reads one column of text.
func column(t *testing.T, db *store.DB, query string) (list []string) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Query(query)
		if err != nil {
			return err
		}
		defer rows.Close()
		list = nil
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			list = append(list, text)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// checkFixture looks for what is in the records of testdata/format1.
func checkFixture(t *testing.T, db *store.DB) {
	t.Helper()
	for query, want := range map[string][]string{
		"SELECT name FROM assets ORDER BY id":   {readyName, failedName},
		"SELECT status FROM assets ORDER BY id": {"ready", "failed"},
		"SELECT name FROM api_keys ORDER BY id": {"admin", "ci"},
		"SELECT name FROM tenants ORDER BY id":  {"default", "Acme"},
		"SELECT url FROM webhooks":              {"https://203.0.113.1/hook"},
		"SELECT name FROM nodes":                {"one"},
	} {
		if diff := cmp.Diff(want, column(t, db, query)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	if len(held(t, db)) != fixtureMany {
		t.Error("what the assets hold is not known")
	}
}

// State of the version that wrote testdata/format1 opens.
func TestEarlierDataOpens(t *testing.T) {
	t.Parallel()
	data, err := OpenData(fixtureData(t))
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	db := openStore(t, data.Join(storeName))
	if err := db.Migrate(t.Context(), migrations()...); err != nil {
		t.Fatal(err)
	}
	checkFixture(t, db)
	fresh := openStore(t, t.TempDir())
	if err := fresh.Migrate(t.Context(), migrations()...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(schema(t, fresh), schema(t, db)); diff != "" {
		t.Errorf("tables that were brought up to date differ from new ones (-new +old):\n%s", diff)
	}
}

// A backup of that version can be restored, and so moves into a PostgreSQL, and out
// of it again.
func TestEarlierBackupMoves(t *testing.T) {
	t.Parallel()
	o := restoreOptions(filepath.Join(fixture, "backup"), filepath.Join(t.TempDir(), "sqlite"))
	if _, err := Restore(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	checkFixture(t, openStore(t, filepath.Join(o.Data, storeName)))

	server := testkit.Postgres(t)
	moved := restoreOptions(made(t, o.Data), filepath.Join(t.TempDir(), "postgres"))
	moved.Config.Store.URL = server.NewDatabase(t)
	if _, err := Restore(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	if names, _ := filepath.Glob(filepath.Join(moved.Data, storeName, "*")); len(names) > 0 {
		t.Errorf("there are records in the folder, too: %v", names)
	}
	checkFixture(t, openPostgres(t, moved.Config.Store))
	again := restoreOptions(moved.From, filepath.Join(t.TempDir(), "again"))
	again.Config = moved.Config
	_, err := Restore(t.Context(), again)
	wantCode(t, "into a database with records", err, fault.Conflict)

	back := backupOptions(moved.Data, filepath.Join(t.TempDir(), "backup"))
	_, err = Backup(t.Context(), back)
	wantCode(t, "backup without the database's address", err, fault.NotFound)
	back.Config = moved.Config
	if _, err := Backup(t.Context(), back); err != nil {
		t.Fatal(err)
	}
	home := restoreOptions(back.To, filepath.Join(t.TempDir(), "home"))
	if _, err := Restore(t.Context(), home); err != nil {
		t.Fatal(err)
	}
	checkFixture(t, openStore(t, filepath.Join(home.Data, storeName)))
}

func openPostgres(t *testing.T, c store.Config) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), "", c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// schema describes all tables and indexes.
func schema(t *testing.T, db *store.DB) []string {
	t.Helper()
	if db.Kind() == store.SQLite {
		return column(t, db, "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1")
	}
	columns := column(t, db, `SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '')
		FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY 1`)
	return append(columns, column(t, db, "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1")...)
}

// A database that took each step with another version of the program has the tables
// of a new one.
func TestStepsGiveTheSameTables(t *testing.T) {
	t.Parallel()
	server := testkit.Postgres(t)
	postgres := func() *store.DB { return openPostgres(t, store.Config{URL: server.NewDatabase(t)}) }
	sqlite := func() *store.DB { return openStore(t, t.TempDir()) }
	for kind, open := range map[string]func() *store.DB{store.SQLite: sqlite, store.Postgres: postgres} {
		fresh, grown := open(), open()
		if err := fresh.Migrate(t.Context(), migrations()...); err != nil {
			t.Fatal(err)
		}
		for _, sets := range versions(migrations()) {
			if err := grown.Migrate(t.Context(), sets...); err != nil {
				t.Fatal(err)
			}
		}
		want := schema(t, fresh)
		if len(want) < 20 {
			t.Fatalf("%s: only %v is there", kind, want)
		}
		if diff := cmp.Diff(want, schema(t, grown)); diff != "" {
			t.Errorf("%s: step by step (-new +grown):\n%s", kind, diff)
		}
		wantCode(t, kind+": an older program", grown.Migrate(t.Context(), versions(migrations())[0]...), fault.Conflict)
	}
}

// versions lists what programs knew that each had one step more of each set.
func versions(sets []store.Migrations) (list [][]store.Migrations) {
	most := slices.MaxFunc(sets, func(a, b store.Migrations) int { return len(a.Steps) - len(b.Steps) })
	for n := range most.Steps {
		var known []store.Migrations
		for _, set := range sets {
			known = append(known, store.Migrations{Set: set.Set, Steps: set.Steps[:min(n+1, len(set.Steps))]})
		}
		list = append(list, known)
	}
	return list
}

// A folder that is not for this program is refused with what to do about it, and
// stays as it is.
func TestDataThatIsRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file, text string
		want             fault.Code
		says             string
	}{
		{"a newer format", formatName, fmt.Sprintf("liuyun data %d\n", dataFormat+1), fault.Conflict, "install that version"},
		{"a damaged format", formatName, "liuyun\n", fault.Invalid, "restore a backup"},
		{"other files", "letter.txt", "Dear", fault.Conflict, "not from liuyun"},
	}
	for _, test := range tests {
		folder := t.TempDir()
		path := filepath.Join(folder, test.file)
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"serve":   firstError(OpenData(folder)),
			"restore": firstError(Restore(t.Context(), restoreOptions(filepath.Join(fixture, "backup"), folder))),
		} {
			wantCode(t, test.name+": "+what, err, test.want)
			if err == nil || !strings.Contains(fault.Message(err), test.says) {
				t.Errorf("%s: %s says %v, want %q", test.name, what, err, test.says)
			}
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != test.text {
			t.Errorf("%s: it was changed to %q, %v", test.name, text, err)
		}
	}
	_, err := Backup(t.Context(), backupOptions(t.TempDir(), filepath.Join(t.TempDir(), "b")))
	wantCode(t, "backup of nothing", err, fault.NotFound)
}

func firstError[T any](_ T, err error) error { return err }

// One process has a folder.
func TestDataIsTaken(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a", "b")
	first, err := OpenData(folder)
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenData(folder)
	wantCode(t, "a second one", err, fault.Conflict)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenData(folder)
	if err != nil {
		t.Fatalf("after the first: %v", err)
	}
	again.Close()
}
