package site

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/store"
)

// Migrations makes the tables of this package.
func Migrations() store.Migrations {
	return store.Migrations{Set: "site", Steps: []store.Step{{SQL: `
CREATE TABLE sites (
	id          TEXT PRIMARY KEY,
	tenant      TEXT NOT NULL,
	settings    TEXT NOT NULL,
	certificate TEXT NOT NULL,
	secret      TEXT NOT NULL,
	rev         BIGINT NOT NULL,
	created     BIGINT NOT NULL,
	updated     BIGINT NOT NULL
);
CREATE INDEX sites_tenant ON sites (tenant, id);
CREATE INDEX sites_rev ON sites (rev);
CREATE TABLE site_hosts (
	host   TEXT PRIMARY KEY,
	parent TEXT NOT NULL,
	site   TEXT NOT NULL
);
CREATE INDEX site_hosts_parent ON site_hosts (parent);
CREATE INDEX site_hosts_site ON site_hosts (site);
CREATE TABLE edge_nodes (
	id    TEXT PRIMARY KEY,
	place TEXT NOT NULL,
	rev   BIGINT NOT NULL
);
CREATE INDEX edge_nodes_rev ON edge_nodes (rev);
CREATE TABLE edge_gone (
	id  TEXT PRIMARY KEY,
	rev BIGINT NOT NULL
);
CREATE INDEX edge_gone_rev ON edge_gone (rev);
CREATE TABLE purges (
	rev     BIGINT PRIMARY KEY,
	tenant  TEXT NOT NULL,
	site    TEXT NOT NULL,
	kind    TEXT NOT NULL,
	value   TEXT NOT NULL,
	hard    BIGINT NOT NULL,
	created BIGINT NOT NULL
);
CREATE INDEX purges_site ON purges (site, rev);
CREATE TABLE edge_state (
	one     BIGINT PRIMARY KEY,
	rev     BIGINT NOT NULL,
	sum     BIGINT NOT NULL,
	dropped BIGINT NOT NULL
);
INSERT INTO edge_state (one, rev, sum, dropped) VALUES (1, 0, 0, 0);
CREATE TABLE edge_usage (
	node   TEXT PRIMARY KEY,
	number BIGINT NOT NULL
);`}}}
}

// state is the one row that all changes go through: its lock puts them in order.
type state struct {
	revision int64
	sum      uint64
	dropped  int64 // purges up to that revision are not known any more
}

func readState(tx *store.Tx) (st state, err error) {
	var sum int64
	err = tx.QueryRow("SELECT rev, sum, dropped FROM edge_state WHERE one = 1").Scan(&st.revision, &sum, &st.dropped)
	st.sum = uint64(sum)
	return st, err
}

// begin takes the next revision. They are as large as the time in microseconds, so that
// they still grow after records were brought back from a backup.
func (s *Service) begin(tx *store.Tx) (before, next state, err error) {
	if _, err := tx.Exec("UPDATE edge_state SET rev = rev WHERE one = 1"); err != nil { // others wait from here on
		return before, next, err
	}
	if before, err = readState(tx); err != nil {
		return before, next, err
	}
	next = before
	next.revision = max(before.revision+1, store.Time(s.now()))
	return before, next, nil
}

// commit keeps the state, and tells edges when it is kept.
func (s *Service) commit(tx *store.Tx, before, next state, delta edge.Delta) error {
	if _, err := tx.Exec("UPDATE edge_state SET rev = ?, sum = ? WHERE one = 1", next.revision, int64(next.sum)); err != nil {
		return err
	}
	delta.From, delta.Revision, delta.Sum = before.revision, next.revision, next.sum
	tx.AfterCommit(func() {
		if err := s.deps.Messages.Publish(edge.SubjectChanged, delta); err != nil {
			s.deps.Log.Debug("edges were not told of a change; they ask within ten seconds", "cause", err)
		}
	})
	return nil
}

// record is a site as it is kept.
type record struct {
	edge.Site
	Created, Updated time.Time
}

const columns = "id, tenant, settings, certificate, secret, rev, created, updated"

type scanner interface{ Scan(dest ...any) error }

func scan(row scanner) (r record, err error) {
	var settings string
	var created, updated int64
	err = row.Scan(&r.ID, &r.Tenant, &settings, &r.Certificate, &r.Key, &r.Revision, &created, &updated)
	if errors.Is(err, store.ErrNoRows) {
		return r, fault.New(fault.NotFound, "there is no such site; it may have been deleted")
	}
	if err != nil {
		return r, err
	}
	r.Created, r.Updated = store.FromTime(created), store.FromTime(updated)
	return r, json.Unmarshal([]byte(settings), &r.Settings)
}

// get returns a site of a tenant; "" is any. It is fault.NotFound where there is none.
func get(tx *store.Tx, tenant, id string) (record, error) {
	r, err := scan(tx.QueryRow("SELECT "+columns+" FROM sites WHERE id = ?", id))
	if err == nil && tenant != "" && r.Tenant != tenant {
		return record{}, fault.New(fault.NotFound, "there is no such site; it may have been deleted")
	}
	return r, err
}

func query(tx *store.Tx, where string, args ...any) (list []record, err error) {
	rows, err := tx.Query("SELECT "+columns+" FROM sites "+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// put keeps a site, under a new revision, and has edges told.
func (s *Service) put(tx *store.Tx, r *record) error {
	before, next, err := s.begin(tx)
	if err != nil {
		return err
	}
	if r.Revision > 0 {
		next.sum -= edge.Mark(r.ID, r.Revision)
	}
	r.Revision = next.revision
	next.sum += edge.Mark(r.ID, r.Revision)
	settings, err := json.Marshal(r.Settings)
	if err != nil {
		return err
	}
	if size := len(settings) + len(r.Certificate) + len(r.Key); size > mostSite {
		return fault.New(fault.Limit, "the site takes %d bytes; %d are the most that edges are told at once: shorten its rules or certificates", size, mostSite)
	}
	_, err = tx.Exec(`INSERT INTO sites (`+columns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET settings = excluded.settings, certificate = excluded.certificate, secret = excluded.secret, rev = excluded.rev, updated = excluded.updated`,
		r.ID, r.Tenant, string(settings), r.Certificate, r.Key, r.Revision, store.Time(r.Created), store.Time(r.Updated))
	if err != nil {
		return err
	}
	if err := takeHosts(tx, r); err != nil {
		return err
	}
	return s.commit(tx, before, next, edge.Delta{Sites: []edge.Site{r.Site}})
}

// takeHosts makes the names a site's own.
func takeHosts(tx *store.Tx, r *record) error {
	if _, err := tx.Exec("DELETE FROM site_hosts WHERE site = ?", r.ID); err != nil {
		return err
	}
	if err := reserved(tx, r.Hosts); err != nil {
		return err
	}
	for _, host := range r.Hosts {
		if err := overlaps(tx, r, host); err != nil {
			return err
		}
		taken, err := tx.Exec("INSERT INTO site_hosts (host, parent, site) VALUES (?, ?, ?) ON CONFLICT (host) DO NOTHING", host, parentOf(host), r.ID)
		if err != nil {
			return err
		}
		if taken == 0 {
			return fault.New(fault.Conflict, "another site has the name %s; remove it there first", host)
		}
	}
	return nil
}

// overlaps refuses a name below another tenant's *, and a * above another tenant's name:
// the more exact one is served, whoever came first.
func overlaps(tx *store.Tx, r *record, host string) error {
	var taken string
	var err error
	if parent, all := strings.CutPrefix(host, "*."); all {
		err = tx.QueryRow(`SELECT h.host FROM site_hosts h JOIN sites s ON s.id = h.site
			WHERE s.tenant <> ? AND h.parent = ? LIMIT 1`, r.Tenant, parent).Scan(&taken)
	} else {
		err = tx.QueryRow(`SELECT h.host FROM site_hosts h JOIN sites s ON s.id = h.site
			WHERE s.tenant <> ? AND h.host = ? LIMIT 1`, r.Tenant, "*."+parentOf(host)).Scan(&taken)
	}
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = fault.New(fault.Conflict, "%s stands against %s, which is somebody else's; choose another name", host, taken)
	}
	return err
}

// parentOf is what follows the first label of a name.
func parentOf(host string) string {
	_, parent, _ := strings.Cut(host, ".")
	return parent
}

// reserved refuses names by which edges serve what is the cloud's own: whoever has one of
// them would answer in its place.
func reserved(tx *store.Tx, hosts []string) error {
	for _, host := range hosts {
		if fits(host, edge.CloudHost) {
			return fault.New(fault.Conflict, "edges know the cloud's own films by %s; choose another name", host)
		}
	}
	all, err := nodes(tx)
	if err != nil {
		return err
	}
	for _, n := range all {
		u, err := url.Parse(n.URL)
		if err != nil || n.URL == "" {
			continue
		}
		for _, host := range hosts {
			if fits(host, strings.ToLower(u.Host)) {
				return fault.New(fault.Conflict, "the edge %s serves the cloud's own films by the name %s; choose another one", n.Name, host)
			}
		}
	}
	return nil
}

// remove deletes a site, and has edges forget it.
func (s *Service) remove(tx *store.Tx, r record) error {
	before, next, err := s.begin(tx)
	if err != nil {
		return err
	}
	next.sum -= edge.Mark(r.ID, r.Revision)
	for _, statement := range []string{"DELETE FROM sites WHERE id = ?", "DELETE FROM site_hosts WHERE site = ?", "DELETE FROM purges WHERE site = ?"} {
		if _, err := tx.Exec(statement, r.ID); err != nil {
			return err
		}
	}
	if err := bury(tx, r.ID, next.revision); err != nil {
		return err
	}
	return s.commit(tx, before, next, edge.Delta{Gone: []string{r.ID}})
}

// bury notes that a site or a node is gone.
func bury(tx *store.Tx, id string, revision int64) error {
	_, err := tx.Exec("INSERT INTO edge_gone (id, rev) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET rev = excluded.rev", id, revision)
	return err
}

// Holds says what keeps a tenant from being deleted, or "".
func Holds(tx *store.Tx, tenant string) (string, error) {
	var count int64
	err := tx.QueryRow("SELECT COUNT(*) FROM sites WHERE tenant = ?", tenant).Scan(&count)
	switch {
	case err != nil || count == 0:
		return "", err
	case count == 1:
		return "1 site", nil
	}
	return fmt.Sprintf("%d sites", count), nil
}
