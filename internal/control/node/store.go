package node

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/store"
)

// Migrations makes the tables of this package.
func Migrations() store.Migrations {
	return store.Migrations{Set: "node", Steps: []store.Step{{SQL: `
CREATE TABLE nodes (
	id       TEXT PRIMARY KEY,
	name     TEXT NOT NULL,
	roles    TEXT NOT NULL,
	version  TEXT NOT NULL,
	class    TEXT NOT NULL,
	address  TEXT NOT NULL,
	cores    BIGINT NOT NULL,
	draining BIGINT NOT NULL,
	joined   BIGINT NOT NULL,
	seen     BIGINT NOT NULL
);
CREATE TABLE join_tokens (
	hash    TEXT PRIMARY KEY,
	roles   TEXT NOT NULL,
	expires BIGINT NOT NULL
);`}, {SQL: `ALTER TABLE nodes ADD COLUMN reach TEXT NOT NULL DEFAULT ''`}}}
}

// record is a node as it is kept.
type record struct {
	ID, Name, Version, Class, Address string
	Roles                             []string
	Cores                             int
	Draining                          bool
	Joined, Seen                      time.Time
}

const columns = "id, name, roles, version, class, address, cores, draining, joined, seen"

// scanner is a row.
type scanner interface{ Scan(dest ...any) error }

func scan(row scanner) (record, error) {
	var n record
	var roles string
	var cores, draining, joined, seen int64
	err := row.Scan(&n.ID, &n.Name, &roles, &n.Version, &n.Class, &n.Address, &cores, &draining, &joined, &seen)
	if errors.Is(err, store.ErrNoRows) {
		return n, fault.New(fault.NotFound, "there is no such node; it may have been deleted")
	}
	n.Roles = strings.Split(roles, ",")
	n.Cores, n.Draining, n.Joined, n.Seen = int(cores), draining != 0, store.FromTime(joined), store.FromTime(seen)
	return n, err
}

// get returns the node, or fault.NotFound.
func get(tx *store.Tx, node string) (record, error) {
	return scan(tx.QueryRow("SELECT "+columns+" FROM nodes WHERE id = ?", node))
}

// list returns up to limit nodes, newest first, those before the id after.
func list(tx *store.Tx, after string, limit int) ([]record, error) {
	query, args := "SELECT "+columns+" FROM nodes", []any{}
	if after != "" {
		query, args = query+" WHERE id < ?", append(args, after)
	}
	rows, err := tx.Query(query+" ORDER BY id DESC LIMIT ?", append(args, limit)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var nodes []record
	for rows.Next() {
		n, err := scan(rows)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, rows.Err()
}

// put makes the record of a node, or says anew what it is; draining and joined
// stay.
func put(tx *store.Tx, n record) error {
	_, err := tx.Exec(`INSERT INTO nodes (`+columns+`) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, roles = excluded.roles, version = excluded.version, class = excluded.class,
			address = excluded.address, cores = excluded.cores, seen = excluded.seen`,
		n.ID, n.Name, strings.Join(n.Roles, ","), n.Version, n.Class, n.Address, n.Cores, store.Time(n.Joined), store.Time(n.Seen))
	return err
}

// putReach notes where a control node is reached. A node without a record stays
// without, and is fault.NotFound.
func putReach(tx *store.Tx, node string, r Reach) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	changed, err := tx.Exec("UPDATE nodes SET reach = ? WHERE id = ?", string(text), node)
	if err == nil && changed == 0 {
		_, err = get(tx, node)
	}
	return err
}

// reaches returns where all control nodes are reached, the longest there first.
func reaches(tx *store.Tx) ([]Reach, error) {
	rows, err := tx.Query("SELECT reach FROM nodes WHERE reach <> '' ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Reach
	for rows.Next() {
		var text string
		var r Reach
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// saveBeat brings the record up to a beat. A node without a record stays without.
func saveBeat(tx *store.Tx, b Beat, now time.Time) error {
	_, err := tx.Exec("UPDATE nodes SET name = ?, version = ?, class = ?, cores = ?, seen = ? WHERE id = ?",
		b.Name, b.Version, b.Class, b.Cores, store.Time(now), b.Node)
	return err
}

// setDraining says whether the node is to take jobs.
func setDraining(tx *store.Tx, node string, draining int) error {
	changed, err := tx.Exec("UPDATE nodes SET draining = ? WHERE id = ?", draining, node)
	if err == nil && changed == 0 {
		_, err = get(tx, node)
	}
	return err
}

// addToken keeps the hash of a join token's credential, and drops old ones.
func addToken(tx *store.Tx, hash string, roles []string, expires, now time.Time) error {
	if _, err := tx.Exec("DELETE FROM join_tokens WHERE expires < ?", store.Time(now)); err != nil {
		return err
	}
	_, err := tx.Exec("INSERT INTO join_tokens (hash, roles, expires) VALUES (?, ?, ?)", hash, strings.Join(roles, ","), store.Time(expires))
	return err
}

// tokenRoles returns the roles that a join token gives, or fault.Forbidden.
func tokenRoles(tx *store.Tx, hash string, now time.Time) ([]string, error) {
	var roles string
	err := tx.QueryRow("SELECT roles FROM join_tokens WHERE hash = ? AND expires > ?", hash, store.Time(now)).Scan(&roles)
	if errors.Is(err, store.ErrNoRows) {
		return nil, fault.New(fault.Forbidden, "the join token has expired or was never made here; make a new one in the console or with POST /v1/nodes/join_tokens")
	}
	return strings.Split(roles, ","), err
}
