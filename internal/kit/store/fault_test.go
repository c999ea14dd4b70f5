package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/testkit"
)

var restoredCount atomic.Int32

// These make the test binary a child that writes records until it is killed.
const (
	childEnv    = "STORE_TEST_CHILD"
	childURLEnv = "STORE_TEST_CHILD_URL"
)

// child commits rows and tells of each when it is acknowledged.
func child(folder, url string) {
	ctx := context.Background()
	db, err := Open(ctx, folder, Config{URL: url}, slog.New(slog.DiscardHandler))
	if err == nil {
		err = db.Migrate(ctx, things())
	}
	start := time.Now().UnixNano()
	for i := 0; err == nil; i++ {
		id := fmt.Sprint(start, "-", i)
		err = db.Write(ctx, func(tx *Tx) error {
			// Two rows, so that half a transaction would show.
			if _, err := tx.Exec("INSERT INTO things (id, doc) VALUES (?, ?)", id, strings.Repeat("x", i%5000)); err != nil {
				return err
			}
			_, err := tx.Exec("INSERT INTO things (id, n) VALUES (?, 1)", id+"-second")
			return err
		})
		if err == nil {
			fmt.Println(id)
		}
	}
	fmt.Println("error:", err)
}

// A commit that returned is there after kill -9 at any moment.
func TestKill(t *testing.T) {
	t.Parallel()
	t.Run(SQLite, func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		testKill(t, folder, "")
	})
	t.Run(Postgres, func(t *testing.T) {
		t.Parallel()
		testKill(t, t.TempDir(), testkit.Postgres(t).NewDatabase(t))
	})
}

func testKill(t *testing.T, folder, url string) {
	acknowledged := make(map[string]bool)
	for _, after := range []int{1, 40, 173} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+folder, childURLEnv+"="+url)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if strings.HasPrefix(lines.Text(), "error") {
				t.Error(lines.Text())
			}
			acknowledged[lines.Text()] = true
			if n == after {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
	}
	db := open(t, folder, Config{URL: url})
	present := make(map[string]bool)
	for _, id := range strs(t, db, "SELECT id FROM things") {
		present[id] = true
	}
	if len(acknowledged) < 40+173 {
		t.Errorf("only %d were acknowledged", len(acknowledged))
	}
	for id := range acknowledged {
		if !present[id] {
			t.Errorf("%s was acknowledged and is gone", id)
		}
	}
	for id := range present {
		if other := strings.TrimSuffix(id, "-second"); !present[other] || !present[other+"-second"] {
			t.Errorf("%s is half a transaction", id)
		}
	}
	if db.Kind() == SQLite {
		if got := strs(t, db, "PRAGMA integrity_check"); got[0] != "ok" {
			t.Errorf("integrity: %v", got)
		}
	}
}

// smallDisk mounts a tmpfs of some megabytes.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size="+strconv.Itoa(megabytes)+"m"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(folder, syscall.MNT_DETACH) })
	return folder
}

// fillAllBut makes a file that leaves so many bytes of its disk free.
func fillAllBut(t *testing.T, path string, free int64) {
	t.Helper()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &disk); err != nil {
		t.Fatal(err)
	}
	size := int64(disk.Bavail)*disk.Bsize - free
	if err := os.WriteFile(path, make([]byte, max(size, 0)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A full disk refuses a write with a fault that says so, keeps what was
// acknowledged, still reads, and writes again as soon as there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 16)
	db := migrated(t, open(t, filepath.Join(disk, "store"), Config{}), texts())
	ballast := filepath.Join(disk, "ballast")
	saved := 0
	for round := range 3 {
		fillAllBut(t, ballast, 300<<10)
		var err error
		for err == nil {
			err = db.Write(t.Context(), func(tx *Tx) error {
				_, err := tx.Exec("INSERT INTO texts (id, name) VALUES (?, ?)", fmt.Sprint(saved), strings.Repeat(fmt.Sprint("name ", saved), 500))
				return err
			})
			if err == nil {
				saved++
			}
		}
		if fault.CodeOf(err) != fault.StorageFull {
			t.Fatalf("round %d: got %v, want storage_full", round, err)
		}
		if err := db.Backup(t.Context(), filepath.Join(disk, "backup")); err == nil {
			os.Remove(filepath.Join(disk, "backup"))
		} else if fault.CodeOf(err) != fault.StorageFull {
			t.Errorf("backup: got %v, want storage_full", err)
		}
		if got := strs(t, db, "SELECT count(*) FROM texts"); got[0] != fmt.Sprint(saved) {
			t.Errorf("%s records of %d are there", got[0], saved)
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		write(t, db, "DELETE FROM texts WHERE n >= 0")
		saved = 0
	}
	if got := strs(t, db, "PRAGMA integrity_check"); got[0] != "ok" {
		t.Errorf("integrity: %v", got)
	}
}

// A server that goes away is fault.Unavailable, and is used again when it is back.
func TestPostgresRestarts(t *testing.T) {
	t.Parallel()
	server := testkit.Postgres(t)
	db := migrated(t, postgresOpener(t, server)(t), things())
	insert := func(id string) error {
		return db.Write(t.Context(), func(tx *Tx) error {
			_, err := tx.Exec("INSERT INTO things (id) VALUES (?)", id)
			return err
		})
	}
	for i, end := range []func(){server.Stop, server.Crash} {
		if err := insert(fmt.Sprint("before", i)); err != nil {
			t.Fatal(err)
		}
		// In the middle of a transaction, and between two.
		err := db.Write(t.Context(), func(tx *Tx) error {
			if _, err := tx.Exec("INSERT INTO things (id) VALUES (?)", fmt.Sprint("lost", i)); err != nil {
				return err
			}
			end()
			_, err := tx.Exec("INSERT INTO things (id) VALUES (?)", fmt.Sprint("lost too", i))
			return err
		})
		if fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("in the middle: got %v, want unavailable", err)
		}
		for range 3 {
			if err := insert(fmt.Sprint("while away", i)); fault.CodeOf(err) != fault.Unavailable {
				t.Errorf("away: got %v, want unavailable", err)
			}
		}
		server.Start(t)
		if err := insert(fmt.Sprint("after", i)); err != nil {
			t.Errorf("back: %v", err)
		}
	}
	if got := strs(t, db, "SELECT id FROM things ORDER BY id"); strings.Join(got, " ") != "after0 after1 before0 before1" {
		t.Errorf("left %v", got)
	}
	// Between two transactions, with connections that look alive.
	server.Stop()
	server.Start(t)
	if err := insert("again"); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

func TestPostgresRefused(t *testing.T) {
	t.Parallel()
	server := testkit.Postgres(t)
	url := server.NewDatabase(t)
	server.Stop()
	var log bytes.Buffer
	_, err := Open(t.Context(), "", Config{URL: strings.Replace(url, "liuyun@", "liuyun:secret@", 1)}, slog.New(slog.NewTextHandler(&log, nil)))
	if fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v, want unavailable", err)
	}
	if strings.Contains(fmt.Sprint(err, log.String()), "secret") {
		t.Errorf("the password is told: %v", err)
	}
	server.Start(t)
	db := open(t, "", Config{URL: url})
	if _, err := db.writer.ExecContext(t.Context(), "CREATE DATABASE latin ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'"); err != nil {
		t.Fatal(err)
	}
	u := url[:strings.LastIndex(url, "/")] + "/latin?sslmode=disable"
	if _, err = Open(t.Context(), "", Config{URL: u}, slog.New(slog.DiscardHandler)); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("another encoding: got %v, want invalid", err)
	}
}

// A server that was told not to wait for the disk waits for us.
func TestPostgresKeepsWhatItAcknowledges(t *testing.T) {
	t.Parallel()
	server := testkit.Postgres(t)
	url := server.NewDatabase(t)
	admin := open(t, "", Config{URL: url})
	for _, test := range []struct{ server, want string }{{"off", "on"}, {"remote_apply", "remote_apply"}} {
		if _, err := admin.writer.ExecContext(t.Context(), "ALTER ROLE liuyun SET synchronous_commit = "+test.server); err != nil {
			t.Fatal(err)
		}
		if got := strs(t, open(t, "", Config{URL: url}), "SHOW synchronous_commit"); got[0] != test.want {
			t.Errorf("with %s: got %s, want %s", test.server, got[0], test.want)
		}
	}
}

// Without the right to make the extension there is no index, and the same answers.
func TestPostgresWithoutTrigrams(t *testing.T) {
	t.Parallel()
	server := testkit.Postgres(t)
	url := server.NewDatabase(t)
	admin := open(t, "", Config{URL: url})
	for _, query := range []string{"CREATE ROLE simple LOGIN", "GRANT CREATE ON SCHEMA public TO simple", "REVOKE CREATE ON DATABASE test1 FROM PUBLIC"} {
		if _, err := admin.writer.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	testMatch(t, func(t testing.TB) *DB {
		return open(t, "", Config{URL: strings.Replace(url, "liuyun@", "simple@", 1)})
	})
	if got := strs(t, admin, "SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'"); got[0] != "0" {
		t.Error("the extension is there: nothing was tested")
	}
}

func TestNumbered(t *testing.T) {
	t.Parallel()
	tests := []struct{ query, want string }{
		{"", ""},
		{"a = ? AND b = ?", "a = $1 AND b = $2"},
		{"a = '?' AND b = ?", "a = '?' AND b = $1"},
		{"a = 'it''s ?' AND b = ?", "a = 'it''s ?' AND b = $1"},
		{`"a?" = ?`, `"a?" = $1`},
		{"? -- ?\n?", "$1 -- ?\n$2"},
		{"? /* ' ? */ ?", "$1 /* ' ? */ $2"},
		{"? '?", "$1 '?"},
		{"? --?", "$1 --?"},
		{"? /*?", "$1 /*?"},
		{"a-?/?*?", "a-$1/$2*$3"},
	}
	for _, test := range tests {
		if got := numbered(test.query); got != test.want {
			t.Errorf("%q: got %q, want %q", test.query, got, test.want)
		}
	}
}

func FuzzNumbered(f *testing.F) {
	f.Add("a = '?' -- ?\n ? /* ? */ \"?\"")
	f.Fuzz(func(t *testing.T, query string) {
		got := numbered(query)
		if strings.ReplaceAll(query, "?", "") == query && got != query {
			t.Errorf("%q became %q", query, got)
		}
	})
}

func TestClassifyWrapped(t *testing.T) {
	t.Parallel()
	for _, err := range []error{context.Canceled, errors.New("x"), nil} {
		if classifyPostgres(err) != other || classifySQLite(err) != other {
			t.Errorf("%v is not other", err)
		}
	}
}
