package store

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
)

// contents is every row of every table, as text.
func contents(t testing.TB, db *DB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "contents")
	if err := db.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return unzipped(t, path)
}

func unzipped(t testing.TB, path string) string {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zipped, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zipped)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func zip(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backup")
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	fmt.Fprint(zipped, text)
	zipped.Close()
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func filled(t *testing.T, db *DB) *DB {
	t.Helper()
	migrated(t, db, things(), parts())
	write(t, db, "INSERT INTO things (id, n, ratio, flag, data, doc) VALUES (?, ?, ?, ?, ?, ?)", "流云 <&>\n", int64(1<<63-1), 0.1, true, []byte("\x00\xff"), `{"a":1}`)
	write(t, db, "INSERT INTO things (id, n, ratio, flag) VALUES ('b', ?, ?, ?)", -5, 3.0, false)
	write(t, db, "INSERT INTO parts (thing) VALUES ('b'), ('b')")
	write(t, db, "DELETE FROM parts WHERE n = 1")
	return db
}

func testBackup(t *testing.T, open opener) {
	db := filled(t, open(t))
	path := filepath.Join(t.TempDir(), "backup")
	if err := db.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want a private file", info.Mode(), err)
	}
	// A newer program restores it, into the other kind too.
	newer := things()
	newer.Steps = append(newer.Steps, Step{SQL: "ALTER TABLE things ADD COLUMN more TEXT NOT NULL DEFAULT 'x'"})
	for _, to := range []*DB{sqliteOpener(t)(t), sameKind(t, db)} {
		if err := to.Restore(t.Context(), path, things(), parts()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(contents(t, db), contents(t, to)); diff != "" {
			t.Errorf("%s to %s (-want +got)\n%s", db.Kind(), to.Kind(), diff)
		}
		path = filepath.Join(t.TempDir(), "again") // from kind to kind and back
		if err := to.Backup(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if err := to.Restore(t.Context(), path, things(), parts()); fault.CodeOf(err) != fault.Conflict {
			t.Errorf("restore over records: got %v, want conflict", err)
		}
		migrated(t, to, newer)
		write(t, to, "INSERT INTO parts (thing) VALUES ('b')")
		if diff := cmp.Diff([]string{"2", "3"}, strs(t, to, "SELECT n FROM parts ORDER BY n")); diff != "" {
			t.Errorf("numbers go on (-want +got)\n%s", diff)
		}
	}
	to := sameKind(t, db)
	if err := to.Restore(t.Context(), path, newer, parts()); err != nil {
		t.Fatal(err)
	}
	if got := strs(t, to, "SELECT more FROM things"); len(got) != 2 || got[0] != "x" {
		t.Errorf("a newer program's step gave %v", got)
	}
}

// sameKind opens an empty database of db's kind.
func sameKind(t *testing.T, db *DB) *DB {
	if db.Kind() == SQLite {
		return sqliteOpener(t)(t)
	}
	name := fmt.Sprintf("restored%d", restoredCount.Add(1))
	if _, err := db.writer.ExecContext(t.Context(), "CREATE DATABASE "+quoted(name)); err != nil {
		t.Fatal(err)
	}
	var url string
	if err := db.writer.QueryRowContext(t.Context(), "SELECT 'postgres://liuyun@127.0.0.1:' || inet_server_port() || '/' || $1::text || '?sslmode=disable'", name).Scan(&url); err != nil {
		t.Fatal(err)
	}
	return open(t, "", Config{URL: url})
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	good := contents(t, filled(t, sqliteOpener(t)(t)))
	lines := strings.SplitAfter(good, "\n")
	tests := []struct {
		name, text string
		code       fault.Code
	}{
		{"empty", "", fault.Invalid},
		{"something else", "{}\n", fault.Invalid},
		{"a newer format", strings.Replace(good, `_records":1`, `_records":2`, 1), fault.Conflict},
		{"newer tables", strings.Replace(good, `"things":1`, `"things":2`, 1), fault.Conflict},
		{"more sets", strings.Replace(good, `"things":1`, `"things":1,"other":1`, 1), fault.Conflict},
		{"no end", strings.Join(lines[:len(lines)-2], ""), fault.Invalid},
		{"a row lost", strings.Join(append(lines[:2:2], lines[3:]...), ""), fault.Invalid},
		{"a value lost", strings.Replace(good, "[2,", "[", 1), fault.Invalid},
		{"more after the end", good + "[1]\n", fault.Invalid},
		{"an unknown table", strings.Replace(good, `"table":"parts"`, `"table":"migrations"`, 1), fault.Invalid},
		{"a list", strings.Replace(good, "[2,", "[[2],", 1), fault.Invalid},
	}
	for _, test := range tests {
		if test.text == good {
			t.Errorf("%s: nothing is wrong with it", test.name)
		}
		db := sqliteOpener(t)(t)
		err := db.Restore(t.Context(), zip(t, test.text), things(), parts())
		if fault.CodeOf(err) != test.code {
			t.Errorf("%s: got %v, want %s", test.name, err, test.code)
		}
		if err := db.Restore(t.Context(), zip(t, good), things(), parts()); err != nil {
			t.Errorf("%s left something: %v", test.name, err)
		}
	}
	db := sqliteOpener(t)(t)
	whole, err := os.ReadFile(zip(t, good))
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut")
	for _, size := range []int{0, 5, 30, len(whole) - 1} {
		if err := os.WriteFile(cut, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := db.Restore(t.Context(), cut, things(), parts()); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("cut to %d bytes: got %v, want invalid", size, err)
		}
	}
	if err := db.Restore(t.Context(), filepath.Join(t.TempDir(), "none"), things()); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("no file: got %v", err)
	}
	if err := db.Backup(t.Context(), filepath.Join(t.TempDir(), "none", "backup")); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("no folder: got %v", err)
	}
}

func FuzzRestore(f *testing.F) {
	f.Add([]byte("{\"liuyun_records\":1,\"versions\":{\"a\":1}}\n{\"table\":\"a\",\"columns\":[\"b\"]}\n[1]\n[\"x\"]\n[{\"base64\":\"AA==\"}]\n[null]\n[1.5]\n{\"rows\":5}\n"))
	f.Add([]byte("{\"liuyun_records\":1}\n[1]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var b bytes.Buffer
		zipped := gzip.NewWriter(&b)
		zipped.Write(text)
		zipped.Close()
		r, err := openBackup(&b)
		if err != nil {
			return
		}
		columns := 0
		for {
			line, row, err := r.next()
			if err != nil {
				return
			}
			if line != nil {
				columns = len(line.Columns)
			} else if len(row) != columns {
				t.Fatalf("a row of %d in a table of %d columns", len(row), columns)
			}
		}
	})
}
