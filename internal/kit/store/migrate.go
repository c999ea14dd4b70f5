package store

import (
	"context"
	"errors"
	"fmt"

	"liuyun/internal/base/fault"
)

// Migrations are the steps that make and change the tables of one package. Steps
// are only ever added at the end: step n makes version n of the set.
type Migrations struct {
	Set   string
	Steps []Step
}

// Step is one change of the tables: SQL for both kinds of database, or SQLite and
// Postgres where they differ. Each may hold several statements. A table refers
// only to tables made before it, which is also the order of restoring.
type Step struct {
	SQL      string
	SQLite   string
	Postgres string
}

func (s Step) text(kind string) string {
	switch {
	case s.SQL != "":
		return s.SQL
	case kind == SQLite:
		return s.SQLite
	default:
		return s.Postgres
	}
}

const migrationsTable = "migrations"

// Migrate takes the steps that the database has not taken yet: all of them, or
// none when one fails. Of several nodes one takes them and the others wait. A
// database that has taken more steps than the sets have is fault.Conflict, and so is
// one that waits for [DB.Release].
func (db *DB) Migrate(ctx context.Context, sets ...Migrations) error {
	return db.migrating(ctx, func(tx *Tx) error {
		if err := tx.refuseHeld(); err != nil {
			return err
		}
		return tx.migrate(sets)
	})
}

// migrating runs fn alone among the nodes.
func (db *DB) migrating(ctx context.Context, fn func(*Tx) error) error {
	return db.transact(ctx, db.writer, db.engine.beginMigrate, func(tx *Tx) error {
		if err := tx.script("CREATE TABLE IF NOT EXISTS migrations (set_name TEXT PRIMARY KEY, version BIGINT NOT NULL)"); err != nil {
			return err
		}
		return fn(tx)
	})
}

func (tx *Tx) migrate(sets []Migrations) error {
	for _, set := range sets {
		if err := tx.advance(set, len(set.Steps)); err != nil {
			return err
		}
	}
	return nil
}

// advance takes the steps of a set up to version.
func (tx *Tx) advance(set Migrations, version int) error {
	present := 0
	err := tx.QueryRow("SELECT version FROM migrations WHERE set_name = ?", set.Set).Scan(&present)
	if err != nil && !errors.Is(err, ErrNoRows) {
		return err
	}
	if present > len(set.Steps) {
		return fault.New(fault.Conflict, "these records were written by a newer liuyun (%s is at version %d, this program knows %d): install that version again, or restore a backup that this one made",
			set.Set, present, len(set.Steps))
	}
	for n := present; n < version; n++ {
		if err := tx.script(set.Steps[n].text(tx.db.Kind())); err != nil {
			return fmt.Errorf("migrate %s to version %d: %w", set.Set, n+1, err)
		}
	}
	if version <= present {
		return nil
	}
	_, err = tx.Exec("INSERT INTO migrations (set_name, version) VALUES (?, ?) ON CONFLICT (set_name) DO UPDATE SET version = excluded.version", set.Set, version)
	return err
}

func (tx *Tx) script(text string) error {
	if err := tx.db.engine.script(tx.ctx, tx.conn, text); err != nil {
		return tx.fail(err)
	}
	return nil
}
