package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"liuyun/internal/base/fault"
)

const (
	fileName = "liuyun.db"
	// sqliteReaders is how many reads run at once; more wait. Each has a cache.
	sqliteReaders = 4
)

// pragmas hold for every connection. Memory is bounded by the cache: 4 MiB each.
// In WAL mode FULL syncs at every commit, so a commit that returned survives a
// power cut.
func pragmas() []string {
	return []string{
		"busy_timeout(10000)",
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(ON)",
		"cache_size(-4096)",
		"journal_size_limit(67108864)",
	}
}

// sqliteEngine describes SQLite. A write takes the only place for writers when it
// begins, so it never fails halfway because another was first.
func sqliteEngine() engine {
	return engine{
		kind:         SQLite,
		beginRead:    "BEGIN",
		beginWrite:   "BEGIN IMMEDIATE",
		beginMigrate: "BEGIN IMMEDIATE",
		bind:         func(query string) string { return query },
		script: func(ctx context.Context, conn *sql.Conn, text string) error {
			_, err := conn.ExecContext(ctx, text)
			return err
		},
		classify: classifySQLite,
	}
}

// openSQLite has one connection for writes and a few for reads, which do not wait
// for it.
func (db *DB) openSQLite(ctx context.Context, path string) error {
	db.engine = sqliteEngine()
	if err := makePrivate(path); err != nil {
		return err
	}
	var err error
	if db.writer, err = sql.Open("sqlite", sqliteName(path, "")); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	db.writer.SetMaxOpenConns(1)
	if db.reader, err = sql.Open("sqlite", sqliteName(path, "query_only(ON)")); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	db.reader.SetMaxOpenConns(sqliteReaders)
	db.reader.SetMaxIdleConns(sqliteReaders)
	for _, pool := range []*sql.DB{db.writer, db.reader} {
		if err := pool.PingContext(ctx); err != nil {
			return db.explain(err)
		}
	}
	return nil
}

// makePrivate makes the file for the database, readable by its owner only; the
// files that SQLite puts beside it take after it.
func makePrivate(path string) error {
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		var file *os.File
		if file, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600); err == nil {
			err = errors.Join(file.Chmod(0o600), file.Close())
		}
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the database file %s cannot be opened: check who owns the folder and whether the disk is writable", path)
	}
	return nil
}

func sqliteName(path, more string) string {
	values := url.Values{"_dqs": {"0"}}
	for _, pragma := range append(pragmas(), more) {
		if pragma != "" {
			values.Add("_pragma", pragma)
		}
	}
	// A path may hold what means something in a URI.
	escaped := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
	return "file:" + escaped + "?" + values.Encode()
}

func classifySQLite(err error) class {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return other
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return unique
	case sqlite3.SQLITE_IOERR_SHMSIZE: // the index of the log cannot grow
		return full
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return full
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return unavailable
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return damaged
	}
	return other
}
