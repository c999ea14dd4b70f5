package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"time"

	"liuyun/internal/base/fault"
)

// The kinds of database.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// ErrNoRows is what Row.Scan returns when the query found nothing.
var ErrNoRows = sql.ErrNoRows

// DB is the records of this node or of the cluster. It may be used by several
// goroutines.
type DB struct {
	engine engine
	reader *sql.DB
	writer *sql.DB // the reader itself, where one pool serves both
	log    *slog.Logger
}

// engine is what the two kinds of database do in different ways.
type engine struct {
	kind       string
	beginRead  string
	beginWrite string
	// beginMigrate waits for another node that migrates, where there can be one.
	beginMigrate string
	// idle is how many connections may die unnoticed while nobody uses them.
	idle int
	// bind turns ? into what the driver wants.
	bind func(query string) string
	// script runs several statements without arguments.
	script func(ctx context.Context, conn *sql.Conn, text string) error
	// classify says what kind of thing an error of the driver is.
	classify func(err error) class
}

// class is what an error of a driver means to us.
type class int

const (
	other       class = iota
	unique            // broke a uniqueness rule
	again             // would succeed when run again
	full              // no room
	unavailable       // the server is away, starting or stopping, or the file is held
	damaged           // the file is no database, or is broken
)

// Open opens the records: SQLite in folder (made if it is absent), or the
// PostgreSQL that c names. A server that does not answer is fault.Unavailable; a
// database in another encoding than UTF-8 is fault.Invalid.
func Open(ctx context.Context, folder string, c Config, log *slog.Logger) (*DB, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	db := &DB{log: log}
	var err error
	if c.URL == "" {
		err = db.openSQLite(ctx, filepath.Join(folder, fileName))
	} else {
		err = db.openPostgres(ctx, c.URL)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Kind returns SQLite or Postgres.
func (db *DB) Kind() string { return db.engine.kind }

// Close waits for what runs and closes the database. Nothing may be called after
// it.
func (db *DB) Close() error {
	var errs []error
	for _, pool := range []*sql.DB{db.reader, db.writer} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}

// Read runs fn on a snapshot: what others commit meanwhile does not show, and fn
// cannot change anything. The transaction is held until fn returns, so fn waits
// for nothing but the database.
func (db *DB) Read(ctx context.Context, fn func(*Tx) error) error {
	return db.transact(ctx, db.reader, db.engine.beginRead, fn)
}

const (
	// maxTries bounds how often a write is run again when others change the same
	// records; with the waits between them this is about ten seconds.
	maxTries  = 40
	firstWait = 2 * time.Millisecond
	maxWait   = 400 * time.Millisecond
	// commitTimeout bounds a commit that no longer listens to its caller, so that
	// a server that went away holds nobody for good.
	commitTimeout = 30 * time.Second
)

// Write runs fn in a serialisable transaction: as if no other ran meanwhile. It
// is committed and durable when Write returns nil, and undone when fn returns an
// error or panics. Where another transaction came between, fn is run again: it
// has no effect but through tx and [Tx.AfterCommit].
//
// When the connection is lost while committing, nobody can know whether the
// change was made; the error is fault.Unavailable and says so.
func (db *DB) Write(ctx context.Context, fn func(*Tx) error) error {
	wait := firstWait
	for try := 1; ; try++ {
		err := db.transact(ctx, db.writer, db.engine.beginWrite, fn)
		if err == nil || db.engine.classify(err) != again {
			return err
		}
		if try == maxTries {
			return fault.Wrap(err, fault.Unavailable, "others change the same records all the time: try again in a moment")
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
			return db.explain(ctx.Err())
		}
		wait = min(2*wait, maxWait)
	}
}

// inside marks the context of a transaction, so that a second one inside it,
// which would wait for the first for ever, is an error at once.
type inside struct{}

// transact runs fn between begin and commit on one connection of pool.
func (db *DB) transact(ctx context.Context, pool *sql.DB, begin string, fn func(*Tx) error) error {
	if ctx.Value(inside{}) != nil {
		return errors.New("transaction inside a transaction: pass the Tx on")
	}
	tx, err := db.begin(context.WithValue(ctx, inside{}, true), pool, begin)
	if err != nil {
		return err
	}
	if err := tx.run(fn); err != nil {
		return err
	}
	for _, f := range tx.after {
		f()
	}
	return nil
}

// begin begins a transaction. Connections that died while nobody used them show
// it only now; they are passed over.
func (db *DB) begin(ctx context.Context, pool *sql.DB, begin string) (*Tx, error) {
	for passed := 0; ; passed++ {
		conn, err := pool.Conn(ctx)
		if err != nil {
			return nil, db.explain(err)
		}
		tx := &Tx{db: db, conn: conn, ctx: ctx}
		err = db.engine.script(ctx, conn, begin)
		if err == nil {
			return tx, nil
		}
		tx.rollback() // it may have begun all the same, when the caller went away
		conn.Close()
		if db.engine.classify(err) != unavailable || passed == db.engine.idle {
			return nil, db.explain(err)
		}
	}
}

// run runs fn and commits. The connection is free for others when it returns.
func (tx *Tx) run(fn func(*Tx) error) error {
	committed := false
	defer func() {
		if !committed { // fn failed or panicked
			tx.rollback()
		}
		tx.conn.Close()
	}()
	err := fn(tx)
	if tx.open != nil {
		tx.open.Close()
	}
	switch {
	case err != nil:
		return err
	case tx.failed != nil: // fn overlooked it; PostgreSQL would undo all without a word
		return tx.failed
	case tx.ctx.Err() != nil:
		return tx.db.explain(tx.ctx.Err())
	}
	// A commit that was given up halfway leaves nobody knowing: the caller's
	// context does not stop it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tx.ctx), commitTimeout)
	defer cancel()
	if _, err := tx.conn.ExecContext(ctx, "COMMIT"); err != nil {
		if tx.db.engine.classify(err) == unavailable {
			return fault.Wrap(err, fault.Unavailable, "the connection to the database was lost while saving: it is not known whether the change was saved, so look before you repeat it")
		}
		return tx.db.explain(err)
	}
	committed = true
	return nil
}

// rollback undoes the transaction. A connection on which this does not work is
// not used again: closing it undoes it too.
func (tx *Tx) rollback() {
	if tx.open != nil {
		tx.open.Close()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tx.ctx), 5*time.Second)
	defer cancel()
	if _, err := tx.conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		tx.conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// explain turns an error of the driver into a fault where people can do
// something about it. The driver's error stays in the chain.
func (db *DB) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fault.Wrap(err, fault.Canceled, "stopped before the database was done")
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Unavailable, "the database did not answer in time")
	}
	switch db.engine.classify(err) {
	case full:
		return fault.Wrap(err, fault.StorageFull, "no room for records: free space on the disk that holds the database")
	case unavailable:
		return fault.Wrap(err, fault.Unavailable, "the database cannot be reached, or another program holds it: it is tried again with the next request")
	case damaged:
		return fault.Wrap(err, fault.Internal, "the database is damaged: restore a backup")
	default:
		return fmt.Errorf("database: %w", err)
	}
}

// Unique reports whether err says that a statement broke a uniqueness rule.
func Unique(err error) bool {
	return classifySQLite(err) == unique || classifyPostgres(err) == unique
}

// Time is t as records keep it: microseconds since 1970, 0 for the zero time.
func Time(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// FromTime is the time that Time made micros of, in UTC.
func FromTime(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
