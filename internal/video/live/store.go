package live

import (
	"errors"
	"fmt"
	"strings"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/store"
)

// Migrations are the tables of streams.
func Migrations() store.Migrations {
	return store.Migrations{Set: "live", Steps: []store.Step{
		{SQL: `
			CREATE TABLE streams (
				id TEXT PRIMARY KEY,
				tenant TEXT NOT NULL,
				name TEXT NOT NULL,
				status TEXT NOT NULL,
				policy TEXT NOT NULL,
				key_hash TEXT NOT NULL UNIQUE,
				old_key_hash TEXT NOT NULL,
				old_key_until BIGINT NOT NULL,
				node TEXT NOT NULL,
				live_since BIGINT NOT NULL,
				created BIGINT NOT NULL,
				updated BIGINT NOT NULL,
				rev BIGINT NOT NULL
			);
			CREATE INDEX streams_by_tenant ON streams (tenant, id);
			CREATE INDEX streams_by_status ON streams (tenant, status, id);
			CREATE INDEX streams_by_old_key ON streams (old_key_hash) WHERE old_key_hash <> '';`},
		{SQL: `ALTER TABLE streams ADD COLUMN record BIGINT NOT NULL DEFAULT 0`},
		{SQL: `
			CREATE TABLE recordings (
				asset TEXT PRIMARY KEY,
				stream TEXT NOT NULL,
				tenant TEXT NOT NULL,
				node TEXT NOT NULL,
				folder TEXT NOT NULL,
				first_segment BIGINT NOT NULL,
				last_segment BIGINT NOT NULL,
				clip BIGINT NOT NULL,
				started BIGINT NOT NULL
			);
			CREATE INDEX recordings_by_node ON recordings (node);
			CREATE INDEX recordings_by_stream ON recordings (stream);`},
		{SQL: `
			ALTER TABLE streams ADD COLUMN source_url TEXT NOT NULL DEFAULT '';
			ALTER TABLE streams ADD COLUMN source_asset TEXT NOT NULL DEFAULT '';
			ALTER TABLE streams ADD COLUMN source_node TEXT NOT NULL DEFAULT '';
			ALTER TABLE streams ADD COLUMN source_on BIGINT NOT NULL DEFAULT 0;
			CREATE INDEX streams_by_source ON streams (source_node) WHERE source_on = 1;`},
		{SQL: `ALTER TABLE streams ADD COLUMN ladder TEXT NOT NULL DEFAULT ''`},
		{SQL: `ALTER TABLE streams ADD COLUMN stopped BIGINT NOT NULL DEFAULT 0`},
	}}
}

const streamColumns = `id, tenant, name, status, policy, key_hash, old_key_hash, old_key_until, node, live_since, created, updated, rev, record, source_url, source_asset, source_node, source_on, ladder, stopped`

type scanner interface{ Scan(...any) error }

func scanStream(row scanner) (*stream, error) {
	var s stream
	var ladder string
	var oldUntil, since, created, updated, record, on, stopped int64
	err := row.Scan(&s.ID, &s.Tenant, &s.Name, &s.Status, &s.Policy, &s.Key, &s.OldKey, &oldUntil, &s.Node, &since, &created, &updated, &s.Rev, &record,
		&s.Source.URL, &s.Source.Asset, &s.Source.Node, &on, &ladder, &stopped)
	s.Stopped = stopped != 0
	if s.Source.exists() { // nodes of versions before know source_on alone
		s.Stopped = on == 0
	}
	s.Record, s.Ladder = record != 0, ladderOf(ladder)
	s.OldUntil, s.LiveSince = store.FromTime(oldUntil), store.FromTime(since)
	s.Created, s.Updated = store.FromTime(created), store.FromTime(updated)
	return &s, err
}

func (s *stream) values() []any {
	return []any{s.Tenant, s.Name, s.Status, s.Policy, s.Key, s.OldKey, store.Time(s.OldUntil), s.Node, store.Time(s.LiveSince), store.Time(s.Created), store.Time(s.Updated), s.Rev, number(s.Record),
		s.Source.URL, s.Source.Asset, s.Source.Node, number(s.Source.exists() && !s.Stopped), strings.Join(s.Ladder, ","), number(s.Stopped)}
}

// number is a bool as both databases keep it.
func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func insertStream(tx *store.Tx, s *stream) error {
	_, err := tx.Exec(`INSERT INTO streams (`+streamColumns+`) VALUES (?`+strings.Repeat(`, ?`, 19)+`)`, append([]any{s.ID}, s.values()...)...)
	return err
}

// saveStream writes all of a record. Who read it in the same transaction may.
func saveStream(tx *store.Tx, s *stream) error {
	columns := strings.Split(streamColumns, ", ")[1:]
	_, err := tx.Exec(`UPDATE streams SET `+strings.Join(columns, ` = ?, `)+` = ? WHERE id = ?`, append(s.values(), s.ID)...)
	return err
}

func deleteStream(tx *store.Tx, id string) error {
	_, err := tx.Exec(`DELETE FROM streams WHERE id = ?`, id)
	return err
}

// findStream returns a stream. The tenant "" is any.
func findStream(tx *store.Tx, tenant, id string) (*stream, error) {
	s, err := scanStream(tx.QueryRow(`SELECT `+streamColumns+` FROM streams WHERE id = ?`, id))
	if errors.Is(err, store.ErrNoRows) || (err == nil && tenant != "" && s.Tenant != tenant) {
		return nil, noStream(id)
	}
	return s, err
}

func noStream(id string) error { return fault.New(fault.NotFound, "there is no stream %q", id) }

// findByKey returns the streams that had or have a key of that hash.
func findByKey(tx *store.Tx, hash string) ([]*stream, error) {
	return queryStreams(tx, `WHERE key_hash = ? OR old_key_hash = ?`, hash, hash)
}

// streamFilter chooses streams of one tenant.
type streamFilter struct {
	status Status // "" is any
	after  string // id of the last one of the page before
	limit  int
}

// listStreams returns streams, newest first.
func listStreams(tx *store.Tx, tenant string, f streamFilter) ([]*stream, error) {
	where, args := `WHERE tenant = ?`, []any{tenant}
	if f.status != "" {
		where, args = where+` AND status = ?`, append(args, f.status)
	}
	if f.after != "" {
		where, args = where+` AND id < ?`, append(args, f.after)
	}
	return queryStreams(tx, where+` ORDER BY id DESC LIMIT ?`, append(args, f.limit)...)
}

func queryStreams(tx *store.Tx, rest string, args ...any) ([]*stream, error) {
	rows, err := tx.Query(`SELECT `+streamColumns+` FROM streams `+rest, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []*stream
	for rows.Next() {
		s, err := scanStream(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

// Holds says which streams keep a tenant from being deleted, or "".
func Holds(tx *store.Tx, tenant string) (string, error) {
	var count int64
	err := tx.QueryRow(`SELECT COUNT(*) FROM streams WHERE tenant = ?`, tenant).Scan(&count)
	switch {
	case err != nil || count == 0:
		return "", err
	case count == 1:
		return "1 stream", nil
	}
	return fmt.Sprintf("%d streams", count), nil
}
