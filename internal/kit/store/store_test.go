package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"liuyun/internal/base/fault"
	"liuyun/internal/testkit"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(childEnv); folder != "" {
		child(folder, os.Getenv(childURLEnv))
		return
	}
	goleak.VerifyTestMain(m)
}

// opener opens the same database each time it is called.
type opener func(t testing.TB) *DB

func sqliteOpener(t testing.TB) opener {
	folder := t.TempDir()
	return func(t testing.TB) *DB { return open(t, folder, Config{}) }
}

func postgresOpener(t testing.TB, server *testkit.PostgresServer) opener {
	c := Config{URL: server.NewDatabase(t)}
	return func(t testing.TB) *DB { return open(t, "", c) }
}

func open(t testing.TB, folder string, c Config) *DB {
	t.Helper()
	db, err := Open(t.Context(), folder, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// TestConformance holds both kinds of database to the same behaviour.
func TestConformance(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		test func(t *testing.T, open opener)
	}{
		{"Values", testValues},
		{"Undone", testUndone},
		{"Unique", testUnique},
		{"Strict", testStrict},
		{"Snapshot", testSnapshot},
		{"Contention", testContention},
		{"WriteSkew", testWriteSkew},
		{"Canceled", testCanceled},
		{"Migrate", testMigrate},
		{"MigrateFails", testMigrateFails},
		{"MigrateAtOnce", testMigrateAtOnce},
		{"Match", testMatch},
		{"Backup", testBackup},
		{"RestoreHeld", testRestoreHeld},
		{"ForeignKeys", testForeignKeys},
	}
	t.Run(SQLite, func(t *testing.T) {
		t.Parallel()
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.test(t, sqliteOpener(t))
			})
		}
	})
	t.Run(Postgres, func(t *testing.T) {
		t.Parallel()
		server := testkit.Postgres(t)
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.test(t, postgresOpener(t, server))
			})
		}
	})
}

func things() Migrations {
	return Migrations{Set: "things", Steps: []Step{
		{SQL: "CREATE TABLE things (id TEXT PRIMARY KEY, n BIGINT NOT NULL DEFAULT 0, ratio DOUBLE PRECISION, flag BOOLEAN, data BYTEA, doc TEXT)"},
	}}
}

func migrated(t testing.TB, db *DB, sets ...Migrations) *DB {
	t.Helper()
	if err := db.Migrate(t.Context(), sets...); err != nil {
		t.Fatal(err)
	}
	return db
}

func write(t testing.TB, db *DB, query string, args ...any) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// strs returns the first column of a query.
func strs(t testing.TB, db *DB, query string, args ...any) (found []string) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *Tx) (err error) {
		found, err = column(tx, query, args...)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return found
}

func column(tx *Tx, query string, args ...any) (found []string, err error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		found = append(found, s)
	}
	return found, rows.Err()
}

type name string

func testValues(t *testing.T, open opener) {
	db := migrated(t, open(t), things())
	type thing struct {
		ID    string
		N     int64
		Ratio *float64
		Flag  *bool
		Data  []byte
		Doc   *string
	}
	ratio, yes, doc := 0.1, true, `{"a":"?"}`
	want := []thing{
		{ID: "a", N: -1 << 63},
		{ID: "b 流云 ? '", N: 1<<63 - 1, Ratio: &ratio, Flag: &yes, Data: []byte{0, 255, '?'}, Doc: &doc},
	}
	write(t, db, "INSERT INTO things (id, n, ratio, flag, data, doc) VALUES (?, ?, ?, ?, ?, ?)", name("a"), int64(-1<<63), nil, nil, nil, json.RawMessage(nil))
	write(t, db, "INSERT INTO things /* ? */ (id, n, ratio, flag, data, doc) VALUES (?, ?, ?, ?, ?, ?) -- ?", want[1].ID, want[1].N, ratio, yes, want[1].Data, json.RawMessage(doc))
	var got []thing
	err := db.Read(t.Context(), func(tx *Tx) error {
		rows, err := tx.Query(`SELECT id, n, ratio, flag, data, doc FROM things WHERE id <> '?' AND "id" <> ? ORDER BY id`, "?")
		if err != nil {
			return err
		}
		for rows.Next() {
			var g thing
			if err := rows.Scan(&g.ID, &g.N, &g.Ratio, &g.Flag, &g.Data, &g.Doc); err != nil {
				return err
			}
			got = append(got, g)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	err = db.Write(t.Context(), func(tx *Tx) error {
		n, err := tx.Exec("UPDATE things SET n = n - ? WHERE n > ?", 1, 0)
		if n != 1 {
			t.Errorf("changed %d rows, want 1", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var errMine = errors.New("mine")

func testUndone(t *testing.T, open opener) {
	db := migrated(t, open(t), things())
	called := 0
	insert := func(tx *Tx) error {
		tx.AfterCommit(func() { called++ })
		_, err := tx.Exec("INSERT INTO things (id) VALUES (?)", "a")
		return err
	}
	err := db.Write(t.Context(), func(tx *Tx) error { return errors.Join(insert(tx), errMine) })
	if !errors.Is(err, errMine) {
		t.Errorf("got %v, want the function's error", err)
	}
	func() {
		defer func() {
			if recover() != "panic" {
				t.Error("the panic was swallowed")
			}
		}()
		db.Write(t.Context(), func(tx *Tx) error { insert(tx); panic("panic") })
	}()
	if got := strs(t, db, "SELECT id FROM things"); len(got) > 0 || called > 0 {
		t.Errorf("undone transactions left %v and called %d functions", got, called)
	}
	if err := db.Write(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
	if got := strs(t, open(t), "SELECT id FROM things"); len(got) != 1 || called != 1 {
		t.Errorf("a committed one left %v and called %d functions", got, called)
	}
}

func testUnique(t *testing.T, open opener) {
	db := migrated(t, open(t), things(), Migrations{Set: "index", Steps: []Step{{SQL: "CREATE UNIQUE INDEX things_doc ON things (doc)"}}})
	write(t, db, "INSERT INTO things (id, doc) VALUES ('a', 'x')")
	for _, query := range []string{"INSERT INTO things (id, doc) VALUES ('a', 'y')", "INSERT INTO things (id, doc) VALUES ('b', 'x')"} {
		err := db.Write(t.Context(), func(tx *Tx) error {
			_, err := tx.Exec(query)
			return fmt.Errorf("add: %w", err)
		})
		if !Unique(err) {
			t.Errorf("%s: got %v, want a broken uniqueness rule", query, err)
		}
	}
	if Unique(nil) || Unique(errMine) {
		t.Error("something else breaks a uniqueness rule")
	}
}

// testStrict checks what would be overlooked with one of the two.
func testStrict(t *testing.T, open opener) {
	db := migrated(t, open(t), things())
	write(t, db, "INSERT INTO things (id) VALUES ('a'), ('b')")
	try := func(fn func(tx *Tx) error) error {
		t.Helper()
		err := db.Write(t.Context(), fn)
		if got := strs(t, db, "SELECT id FROM things"); len(got) != 2 {
			t.Errorf("left %v", got)
		}
		return err
	}
	tests := []struct {
		name string
		fn   func(tx *Tx) error
	}{
		{"overlooked", func(tx *Tx) error {
			tx.Exec("INSERT INTO things (id) VALUES ('c')")
			tx.Exec("INSERT INTO things (id) VALUES ('a')")
			return nil
		}},
		{"after a failure", func(tx *Tx) error {
			tx.Exec("INSERT INTO things (id) VALUES ('a')")
			_, err := tx.Exec("INSERT INTO things (id) VALUES ('c')")
			return err
		}},
		{"open rows", func(tx *Tx) error {
			if _, err := tx.Query("SELECT id FROM things"); err != nil {
				t.Error(err)
			}
			_, err := tx.Exec("INSERT INTO things (id) VALUES ('c')")
			return err
		}},
		{"nested", func(tx *Tx) error { return db.Write(tx.Context(), func(*Tx) error { return nil }) }},
		{"nested read", func(tx *Tx) error { return db.Read(tx.Context(), func(*Tx) error { return nil }) }},
		{"time", func(tx *Tx) error {
			_, err := tx.Exec("INSERT INTO things (id, n) VALUES ('c', ?)", time.Now())
			return err
		}},
		{"no such table", func(tx *Tx) error { _, err := tx.Query("SELECT 1 FROM nothing"); return err }},
		{"quotes are for names", func(tx *Tx) error { _, err := tx.Exec(`INSERT INTO things (id) VALUES ("c")`); return err }},
	}
	for _, test := range tests {
		if err := try(test.fn); err == nil {
			t.Errorf("%s: no error", test.name)
		}
	}
	for _, text := range []string{"a\x00b", "\xff"} {
		err := try(func(tx *Tx) error { _, err := tx.Exec("INSERT INTO things (id) VALUES (?)", text); return err })
		if fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: got %v, want invalid", text, err)
		}
	}
	err := db.Read(t.Context(), func(tx *Tx) error { _, err := tx.Exec("DELETE FROM things"); return err })
	if err == nil {
		t.Error("a read deletes")
	}
	err = db.Read(t.Context(), func(tx *Tx) error {
		return tx.QueryRow("SELECT id FROM things WHERE id = ?", "z").Scan(new(string))
	})
	if !errors.Is(err, ErrNoRows) {
		t.Errorf("got %v, want no rows", err)
	}
}

func testSnapshot(t *testing.T, open opener) {
	db := migrated(t, open(t), things())
	write(t, db, "INSERT INTO things (id) VALUES ('a')")
	err := db.Read(t.Context(), func(tx *Tx) error {
		before, err := column(tx, "SELECT id FROM things")
		if err != nil {
			return err
		}
		write(t, db, "INSERT INTO things (id) VALUES ('b')")
		after, err := column(tx, "SELECT id FROM things")
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("a read saw what came later\n%s", diff)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strs(t, db, "SELECT id FROM things ORDER BY id"); len(got) != 2 {
		t.Errorf("got %v", got)
	}
}

// testContention lets two nodes count in one row.
func testContention(t *testing.T, open opener) {
	nodes := []*DB{migrated(t, open(t), things()), open(t)}
	write(t, nodes[0], "INSERT INTO things (id, n) VALUES ('a', 0)")
	const writers, each = 4, 25
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			for range each {
				err := nodes[i%2].Write(t.Context(), func(tx *Tx) error {
					n := 0
					if err := tx.QueryRow("SELECT n FROM things WHERE id = 'a'").Scan(&n); err != nil {
						return err
					}
					_, err := tx.Exec("UPDATE things SET n = ? WHERE id = 'a'", n+1)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if diff := cmp.Diff([]string{"100"}, strs(t, nodes[0], "SELECT n FROM things")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// testWriteSkew has two transactions that each read what the other changes: one
// has to see the other.
func testWriteSkew(t *testing.T, open opener) {
	db := migrated(t, open(t), things())
	write(t, db, "INSERT INTO things (id, n) VALUES ('a', 1), ('b', 1)")
	var group sync.WaitGroup
	for _, id := range []string{"a", "b"} {
		group.Go(func() {
			err := db.Write(t.Context(), func(tx *Tx) error {
				sum := 0
				if err := tx.QueryRow("SELECT sum(n) FROM things").Scan(&sum); err != nil || sum < 2 {
					return err
				}
				time.Sleep(20 * time.Millisecond) // the other one reads meanwhile, where it can
				_, err := tx.Exec("UPDATE things SET n = 0 WHERE id = ?", id)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := strs(t, db, "SELECT sum(n) FROM things"); got[0] != "1" {
		t.Errorf("%s are left, want 1", got[0])
	}
}

func testCanceled(t *testing.T, open opener) {
	db := migrated(t, open(t), things())
	for range 5 { // more than there are connections for it
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Write(ctx, func(tx *Tx) error {
			_, err := tx.Exec("INSERT INTO things (id) VALUES ('a')")
			cancel()
			return err
		})
		if fault.CodeOf(err) != fault.Canceled || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want canceled", err)
		}
	}
	write(t, db, "INSERT INTO things (id) VALUES ('b')")
	if diff := cmp.Diff([]string{"b"}, strs(t, db, "SELECT id FROM things")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func testForeignKeys(t *testing.T, open opener) {
	db := migrated(t, open(t), things(), parts())
	write(t, db, "INSERT INTO things (id) VALUES ('a')")
	write(t, db, "INSERT INTO parts (thing) VALUES ('a')")
	err := db.Write(t.Context(), func(tx *Tx) error {
		_, err := tx.Exec("INSERT INTO parts (thing) VALUES ('b')")
		return err
	})
	if err == nil {
		t.Error("a part of nothing")
	}
	write(t, db, "DELETE FROM things")
	if got := strs(t, db, "SELECT thing FROM parts"); len(got) > 0 {
		t.Errorf("left %v", got)
	}
}

func parts() Migrations {
	return Migrations{Set: "parts", Steps: []Step{{
		SQLite:   "CREATE TABLE parts (n INTEGER PRIMARY KEY AUTOINCREMENT, thing TEXT NOT NULL REFERENCES things (id) ON DELETE CASCADE)",
		Postgres: "CREATE TABLE parts (n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, thing TEXT NOT NULL REFERENCES things (id) ON DELETE CASCADE)",
	}}}
}

func TestSQLiteFilesArePrivate(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a ?#%20 folder", "store")
	db := migrated(t, open(t, folder, Config{}), things())
	write(t, db, "INSERT INTO things (id) VALUES ('a')")
	names := 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode()&0o077 != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		names++
		return err
	})
	if err != nil || names < 3 {
		t.Errorf("saw %d files: %v", names, err)
	}
}

func TestSQLiteSettings(t *testing.T) {
	t.Parallel()
	db := sqliteOpener(t)(t)
	for _, pragma := range []struct{ name, want string }{
		{"journal_mode", "wal"}, {"synchronous", "2"}, {"foreign_keys", "1"}, {"cache_size", "-4096"}, {"busy_timeout", "10000"},
	} {
		if got := strs(t, db, "PRAGMA "+pragma.name); got[0] != pragma.want {
			t.Errorf("reader: %s is %s, want %s", pragma.name, got[0], pragma.want)
		}
		err := db.Write(t.Context(), func(tx *Tx) error {
			got, err := column(tx, "PRAGMA "+pragma.name)
			if err == nil && got[0] != pragma.want {
				t.Errorf("writer: %s is %s, want %s", pragma.name, got[0], pragma.want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestOpenDamaged(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, fileName), []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), folder, Config{}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v, want that it is damaged", err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	tests := []struct {
		url string
		ok  bool
	}{
		{"", true},
		{"postgres://user:secret@host:5432/db?sslmode=disable", true},
		{"postgresql:///db?host=/run/postgresql", true},
		{"mysql://user:secret@host/db", false},
		{"host=a password=secret", false},
		{"postgres://user:secret@host:x/db", false},
		{"postgres://user:secret@host/db?sslmode=perhaps", false},
	}
	for _, test := range tests {
		err := Config{URL: test.url}.Validate()
		if (err == nil) != test.ok {
			t.Errorf("%s: got %v", test.url, err)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || fault.CodeOf(err) != fault.Invalid) {
			t.Errorf("%s: %v", test.url, err)
		}
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	for _, want := range []time.Time{{}, time.Date(2026, 11, 24, 1, 2, 3, 456000, time.UTC)} {
		if got := FromTime(Time(want)); !got.Equal(want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}
