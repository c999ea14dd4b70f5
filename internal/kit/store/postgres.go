package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"liuyun/internal/base/fault"
)

const (
	// postgresConns bounds how many connections one node holds.
	postgresConns = 16
	// postgresIdle of them are kept while there is nothing to do.
	postgresIdle = 4
	// connectTimeout bounds how long a request waits for a server that is away.
	connectTimeout = 5 * time.Second
	// migrationLock is the advisory lock of the node that migrates ("liuyun" in ASCII).
	migrationLock = 0x6c697579756e
)

func postgresEngine() engine {
	return engine{
		kind:       Postgres,
		beginRead:  "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		beginWrite: "BEGIN ISOLATION LEVEL SERIALIZABLE",
		// Each statement sees what was committed before it: the waiting node
		// finds the steps that the first one took.
		beginMigrate: "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(" + strconv.Itoa(migrationLock) + ")",
		idle:         postgresIdle,
		bind:         numbered,
		script: func(ctx context.Context, conn *sql.Conn, text string) error {
			return conn.Raw(func(c any) error {
				_, err := c.(*stdlib.Conn).Conn().PgConn().Exec(ctx, text).ReadAll()
				return err
			})
		},
		classify: classifyPostgres,
	}
}

// openPostgres connects once, to tell at once what is wrong. Connections that are
// lost later are made anew by the pool.
func (db *DB) openPostgres(ctx context.Context, url string) error {
	db.engine = postgresEngine()
	config, err := pgx.ParseConfig(url)
	if err != nil { // Validate has told a person
		return fault.New(fault.Invalid, "store.url is not understood")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	// A node that stands still in the middle of a transaction must not hold up
	// the others for good.
	if config.RuntimeParams["idle_in_transaction_session_timeout"] == "" {
		config.RuntimeParams["idle_in_transaction_session_timeout"] = "60s"
	}
	// What is searched for decides which index is right, so a plan is made for it.
	if config.RuntimeParams["plan_cache_mode"] == "" {
		config.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	}
	pool := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(keepsWhatItAcknowledges))
	pool.SetMaxOpenConns(postgresConns)
	pool.SetMaxIdleConns(postgresIdle)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	db.reader, db.writer = pool, pool
	var encoding string
	if err := pool.QueryRowContext(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return db.explain(err)
	}
	if encoding != "UTF8" {
		return fault.New(fault.Invalid, "the PostgreSQL database is encoded in %s: make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	return nil
}

// keepsWhatItAcknowledges undoes a server's setting that a commit need not reach
// the disk. Stronger settings stay.
func keepsWhatItAcknowledges(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
	return err
}

// numbered turns each ? into $1, $2 and so on, but for those in quotes and
// comments.
func numbered(query string) string {
	var out strings.Builder
	out.Grow(len(query) + 16)
	n := 0
	for i := 0; i < len(query); {
		if query[i] == '?' {
			n++
			out.WriteByte('$')
			out.WriteString(strconv.Itoa(n))
			i++
			continue
		}
		end := i + opaque(query[i:])
		out.WriteString(query[i:end])
		i = end
	}
	return out.String()
}

// opaque is the length of what begins text and is copied as it is: a quoted
// string or name, a comment, or one byte. A doubled quote is read as two strings,
// which comes to the same.
func opaque(text string) int {
	closing := ""
	switch {
	case text[0] == '\'' || text[0] == '"':
		closing = text[:1]
	case strings.HasPrefix(text, "--"):
		closing = "\n"
	case strings.HasPrefix(text, "/*"):
		closing = "*/"
	default:
		return 1
	}
	from := len(closing)
	if closing == "\n" {
		from = 2
	}
	end := strings.Index(text[from:], closing)
	if end < 0 {
		return len(text)
	}
	return from + end + len(closing)
}

// classifyPostgres reads SQLSTATE codes (PostgreSQL, appendix A) and the errors of
// a connection.
func classifyPostgres(err error) class {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "23505": // unique_violation
			return unique
		case "40001", "40P01": // serialization_failure, deadlock_detected
			return again
		case "53100": // disk_full
			return full
		case "25P03", "25P04", "53300", "57P01", "57P02", "57P03", "55P03":
			// stood still in a transaction, too many connections, shutdown, crash,
			// starting, lock not available
			return unavailable
		case "XX001", "XX002": // data_corrupted, index_corrupted
			return damaged
		}
		if strings.HasPrefix(e.Code, "08") { // connection exception
			return unavailable
		}
		return other
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return unavailable
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return unavailable
	}
	for _, lost := range []error{driver.ErrBadConn, sql.ErrConnDone, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, lost) {
			return unavailable
		}
	}
	return other
}
