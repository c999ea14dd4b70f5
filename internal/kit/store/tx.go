package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"liuyun/internal/base/fault"
)

// Tx is one transaction, valid until the function it was given to returns. It
// belongs to one goroutine.
//
// Both kinds of database are held to what the stricter one allows: a statement
// may only be run when the rows of the one before are closed, and after a
// statement failed the transaction is lost; each further one returns the same
// error. Arguments are strings, integers, floats, bools, byte slices, nil and
// json.RawMessage, which is kept as text. Text is UTF-8 without zero bytes, else
// fault.Invalid.
type Tx struct {
	db     *DB
	conn   *sql.Conn
	ctx    context.Context
	open   *Rows
	failed error
	after  []func()
}

// Context returns the context that Read or Write was called with. A transaction
// begun with it is an error: it would wait for this one.
func (tx *Tx) Context() context.Context { return tx.ctx }

// AfterCommit has fn called once the transaction is committed, in order, by the
// goroutine that called Write. It is not called when the transaction is undone.
func (tx *Tx) AfterCommit(fn func()) { tx.after = append(tx.after, fn) }

// Exec runs one statement and returns how many rows it changed.
func (tx *Tx) Exec(query string, args ...any) (affected int64, err error) {
	if args, err = tx.ready(args); err != nil {
		return 0, err
	}
	result, err := tx.conn.ExecContext(tx.ctx, tx.bind(query, args), args...)
	if err != nil {
		return 0, tx.fail(err)
	}
	return result.RowsAffected()
}

// Query runs a statement that returns rows. They are closed before the next
// statement; reading them to the end closes them too.
func (tx *Tx) Query(query string, args ...any) (*Rows, error) {
	args, err := tx.ready(args)
	if err != nil {
		return nil, err
	}
	rows, err := tx.conn.QueryContext(tx.ctx, tx.bind(query, args), args...)
	if err != nil {
		return nil, tx.fail(err)
	}
	tx.open = &Rows{tx: tx, rows: rows}
	return tx.open, nil
}

// QueryRow runs a statement of which the first row matters. What went wrong, or
// ErrNoRows, is told by Scan, which must be called.
func (tx *Tx) QueryRow(query string, args ...any) *Row {
	rows, err := tx.Query(query, args...)
	return &Row{rows: rows, err: err}
}

// ready checks that a statement may run now, and its arguments.
func (tx *Tx) ready(args []any) ([]any, error) {
	if tx.failed != nil {
		return nil, tx.failed
	}
	if tx.open != nil {
		return nil, errors.New("the rows of the statement before are still open")
	}
	checked := make([]any, len(args))
	for i, arg := range args {
		var err error
		if checked[i], err = checkArg(arg); err != nil {
			return nil, err
		}
	}
	return checked, nil
}

func checkArg(arg any) (any, error) {
	switch a := arg.(type) {
	case nil, []byte, int, int64, bool, float64:
		return arg, nil
	case string:
		return checkText(a)
	case json.RawMessage:
		if a == nil {
			return nil, nil
		}
		return checkText(string(a))
	case time.Time, *time.Time:
		return nil, fmt.Errorf("argument of type %T: times are kept as store.Time makes them", arg)
	}
	if v := reflect.ValueOf(arg); v.Kind() == reflect.String {
		return checkText(v.String())
	}
	return arg, nil
}

func checkText(s string) (any, error) {
	if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		return nil, fault.New(fault.Invalid, "a text holds bytes that are not UTF-8, or a zero byte: correct the text")
	}
	return s, nil
}

// bind leaves a statement without arguments as it is: its question marks mean
// something else.
func (tx *Tx) bind(query string, args []any) string {
	if len(args) == 0 {
		return query
	}
	return tx.db.engine.bind(query)
}

func (tx *Tx) fail(err error) error {
	tx.failed = tx.db.explain(err)
	return tx.failed
}

// Rows are the rows of a query.
type Rows struct {
	tx   *Tx
	rows *sql.Rows
}

// Next goes to the next row, and is false after the last one or when something
// went wrong; Err says which.
func (r *Rows) Next() bool {
	if r.rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Scan copies the row's columns into the pointers, as database/sql does.
func (r *Rows) Scan(to ...any) error { return r.rows.Scan(to...) }

// Err returns what ended Next early, or nil.
func (r *Rows) Err() error {
	if err := r.rows.Err(); err != nil {
		return r.tx.fail(err)
	}
	return nil
}

// Close ends the reading. It may be called again.
func (r *Rows) Close() error {
	err := r.rows.Close()
	if r.tx.open == r {
		r.tx.open = nil
	}
	return err
}

// Row is the first row of a query.
type Row struct {
	rows *Rows
	err  error
}

// Scan copies the row's columns into the pointers. It returns ErrNoRows when
// there is no row.
func (r *Row) Scan(to ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return ErrNoRows
	}
	return r.rows.Scan(to...)
}
