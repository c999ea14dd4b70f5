package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"liuyun/internal/base/fault"
)

// restoredTable says of which backup the records are, by the sum of its file, and
// whether they are held back. It has one row, and is no part of a backup.
const restoredTable = "restored"

// State is what a database has of a backup.
type State int

const (
	Empty    State = iota // nothing, nor anything else
	Filled                // its records as RestoreHeld put them there; no server can have changed them
	Released              // its records, and what was done with them since Release
)

// RestoreHeld is Restore as one step of something larger that may be killed: until
// Release nobody can migrate the database, so no server uses it, and the same call
// again finds what it did. The records are there when check, which sees them before
// anybody else, returns nil.
func (db *DB) RestoreHeld(ctx context.Context, path string, check func(*Tx) error, sets ...Migrations) error {
	sum, err := sumOf(path)
	if err != nil {
		return err
	}
	return db.migrating(ctx, func(tx *Tx) error {
		state, err := tx.stateOf(sum)
		switch {
		case err != nil || state == Filled:
			return err
		case state == Released:
			return notEmpty()
		}
		if err := tx.restore(path, sets); err != nil {
			return err
		}
		if err := check(tx); err != nil {
			return err
		}
		return tx.hold(sum)
	})
}

// StateOf tells how far a restore of the backup at path came. A database with other
// records is fault.Conflict. Nothing is changed.
func (db *DB) StateOf(ctx context.Context, path string) (state State, err error) {
	sum, err := sumOf(path)
	if err != nil {
		return Empty, err
	}
	err = db.Read(ctx, func(tx *Tx) error {
		state, err = tx.stateOf(sum)
		return err
	})
	return state, err
}

// Release gives a database that RestoreHeld filled to everybody. It may be called
// again.
func (db *DB) Release(ctx context.Context) error {
	return db.Write(ctx, func(tx *Tx) error {
		_, held, err := tx.restored()
		if err != nil || !held {
			return err
		}
		_, err = tx.Exec("UPDATE restored SET held = ?", false)
		return err
	})
}

func (tx *Tx) stateOf(sum string) (State, error) {
	from, held, err := tx.restored()
	switch {
	case err != nil:
		return Empty, err
	case from == sum && held:
		return Filled, nil
	case from == sum:
		return Released, nil
	case held:
		return Empty, fault.New(fault.Conflict, "the restore of another backup into this database was stopped: run that one again, or restore into a new PostgreSQL database")
	}
	present, err := tx.tables()
	if err == nil && len(present) > 0 {
		err = notEmpty()
	}
	return Empty, err
}

func notEmpty() error {
	return fault.New(fault.Conflict, "the database is not empty: restore into a new data folder, or into a new PostgreSQL database")
}

// hold marks the records as those of the backup with that sum.
func (tx *Tx) hold(sum string) error {
	if err := tx.script("CREATE TABLE restored (sum TEXT NOT NULL, held BOOLEAN NOT NULL)"); err != nil {
		return err
	}
	_, err := tx.Exec("INSERT INTO restored (sum, held) VALUES (?, ?)", sum, true)
	return err
}

// restored returns what hold noted; sum is empty where it was not called.
func (tx *Tx) restored() (sum string, held bool, err error) {
	names, err := tx.allTables()
	if err != nil || !slices.Contains(names, restoredTable) {
		return "", false, err
	}
	err = tx.QueryRow("SELECT sum, held FROM restored").Scan(&sum, &held)
	if errors.Is(err, ErrNoRows) {
		err = nil
	}
	return sum, held, err
}

// refuseHeld is fault.Conflict in a database that waits for Release.
func (tx *Tx) refuseHeld() error {
	_, held, err := tx.restored()
	if err == nil && held {
		err = fault.New(fault.Conflict, "a restore into this database is under way, or was stopped: run the same liuyun restore again until it is done")
	}
	return err
}

// sumOf names the content of a backup.
func sumOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", cannotOpen(path, err)
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func cannotOpen(path string, err error) error {
	return fault.Wrap(err, fault.NotFound, "the backup %s cannot be opened", path)
}
