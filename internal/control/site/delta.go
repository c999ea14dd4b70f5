package site

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/store"
)

const (
	// mostInDelta bounds the sites, nodes and purges of one answer each, and mostBytes what
	// each of them takes: together they fit into a message. A site has mostSite.
	mostInDelta = 500
	mostBytes   = 256 << 10
	mostSite    = mostBytes / 2
	// mostPurges are kept for edges that were away. One that was away for more is told to
	// ask for everything again.
	mostPurges = 10_000
	// goneFor is how long it is known that a site or a node is gone. An edge that was away
	// for longer notices by the sum, and is told all.
	goneFor = 30 * 24 * time.Hour
)

// answer tells an edge what has changed.
func (s *Service) answer(ctx context.Context, node string, data []byte) (any, error) {
	var ask edge.Ask
	if err := json.Unmarshal(data, &ask); err != nil || !id.Valid("nod", ask.Node) || ask.Node != node {
		return nil, fault.Wrap(err, fault.Invalid, "this is no question of an edge")
	}
	if err := s.deps.Known(ctx, ask.Node); err != nil {
		return nil, err
	}
	if err := s.place(ctx, ask.Node, ask.Place); err != nil {
		return nil, err
	}
	var delta edge.Delta
	err := s.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		delta, err = s.since(tx, ask)
		return err
	})
	delta.Secrets = s.deps.Secrets
	return delta, err
}

// since is what has changed after the revision of a question, or the first part of it: then
// Revision says how far that goes.
func (s *Service) since(tx *store.Tx, ask edge.Ask) (edge.Delta, error) {
	st, err := readState(tx)
	if err != nil {
		return edge.Delta{}, err
	}
	revision := ask.Revision
	d := edge.Delta{From: revision, Revision: st.revision, Sum: st.sum}
	if revision <= 0 || revision > st.revision {
		d.From, d.Whole, revision = 0, true, 0
	}
	parts := []func(*store.Tx, *edge.Delta, int64) error{sitesSince, nodesSince, goneSince, purgesSince}
	switch {
	case ask.Fresh:
		parts = parts[:3]
		last, err := lastPurge(tx, st)
		if err != nil {
			return d, err
		}
		if last > 0 {
			d.Purges = []edge.Purge{{Revision: last, Kind: edge.PurgeAll, Hard: true}}
		}
	case revision < st.dropped && !ask.Rest:
		// What was purged since it last asked is not known any more.
		d.Purges = []edge.Purge{{Revision: st.dropped, Kind: edge.PurgeAll}}
	}
	for _, read := range parts {
		if err := read(tx, &d, revision); err != nil {
			return d, err
		}
	}
	return d, nil
}

// cut says that a delta goes no further than a revision.
func cut(d *edge.Delta, revision int64) {
	d.More = true
	d.Revision = min(d.Revision, revision)
}

func sitesSince(tx *store.Tx, d *edge.Delta, revision int64) error {
	sites, err := query(tx, "WHERE rev > ? ORDER BY rev LIMIT ?", revision, mostInDelta+1)
	if err != nil {
		return err
	}
	bytes := 0
	for n, r := range sites {
		text, err := json.Marshal(r.Site)
		if err != nil {
			return err
		}
		if bytes += len(text); n == mostInDelta || n > 0 && bytes > mostBytes {
			cut(d, sites[n-1].Revision)
			break
		}
		d.Sites = append(d.Sites, r.Site)
	}
	return nil
}

func nodesSince(tx *store.Tx, d *edge.Delta, revision int64) error {
	rows, err := tx.Query("SELECT id, place, rev FROM edge_nodes WHERE rev > ? ORDER BY rev LIMIT ?", revision, mostInDelta)
	if err != nil {
		return err
	}
	defer rows.Close()
	bytes := 0
	for rows.Next() {
		var n edge.Node
		var place string
		if err := rows.Scan(&n.ID, &place, &n.Revision); err != nil {
			return err
		}
		if bytes += len(place) + perPurge; len(d.Nodes) > 0 && bytes > mostBytes {
			cut(d, d.Nodes[len(d.Nodes)-1].Revision)
			break
		}
		if err := json.Unmarshal([]byte(place), &n.Place); err != nil {
			return err
		}
		d.Nodes = append(d.Nodes, n)
	}
	if len(d.Nodes) == mostInDelta {
		cut(d, d.Nodes[mostInDelta-1].Revision)
	}
	return rows.Err()
}

func goneSince(tx *store.Tx, d *edge.Delta, revision int64) error {
	if d.Whole {
		return nil
	}
	rows, err := tx.Query("SELECT id, rev FROM edge_gone WHERE rev > ? ORDER BY rev LIMIT ?", revision, mostInDelta)
	if err != nil {
		return err
	}
	defer rows.Close()
	last := int64(0)
	for rows.Next() {
		var of string
		if err := rows.Scan(&of, &last); err != nil {
			return err
		}
		d.Gone = append(d.Gone, of)
	}
	if len(d.Gone) == mostInDelta {
		cut(d, last)
	}
	return rows.Err()
}

// A purge takes about so much in JSON, which writes a character in six bytes at the most.
const (
	perPurge   = 150
	jsonGrowth = 6
)

func purgesSince(tx *store.Tx, d *edge.Delta, revision int64) error {
	purges, err := queryPurges(tx, "WHERE rev > ? ORDER BY rev LIMIT ?", revision, mostInDelta)
	if err != nil {
		return err
	}
	bytes := 0
	for n, p := range purges {
		if bytes += perPurge + jsonGrowth*len(p.Value); n > 0 && bytes > mostBytes {
			cut(d, purges[n-1].Revision)
			return nil
		}
		d.Purges = append(d.Purges, p.Purge)
	}
	if len(purges) == mostInDelta {
		cut(d, purges[mostInDelta-1].Revision)
	}
	return nil
}

// lastPurge is the revision of the last purge that there was, or 0. What another edge has
// stored since that is good, so one of everything may have no later revision.
func lastPurge(tx *store.Tx, st state) (last int64, err error) {
	if err = tx.QueryRow("SELECT rev FROM purges ORDER BY rev DESC LIMIT 1").Scan(&last); errors.Is(err, store.ErrNoRows) {
		return st.dropped, nil
	}
	return last, err
}

// dropOld forgets what no edge will ask for any more.
func (s *Service) dropOld(tx *store.Tx) error {
	var last int64
	err := tx.QueryRow("SELECT rev FROM purges ORDER BY rev DESC LIMIT 1 OFFSET ?", s.keep).Scan(&last)
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return err
	}
	if last > 0 {
		if _, err := tx.Exec("UPDATE edge_state SET dropped = ? WHERE one = 1 AND dropped < ?", last, last); err != nil {
			return err
		}
		if _, err := tx.Exec("DELETE FROM purges WHERE rev <= ?", last); err != nil {
			return err
		}
	}
	_, err = tx.Exec("DELETE FROM edge_gone WHERE rev < ?", store.Time(s.now().Add(-goneFor)))
	return err
}
