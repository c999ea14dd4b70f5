package site

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"liuyun/internal/base/id"
	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/store"
)

// heard is what an edge told last.
type heard struct {
	edge.Report
	at   time.Time
	rate edge.Counts
}

const (
	awayAfter = 20 * time.Second // without a report
	mostEdges = 10_000
)

// hear takes in a report.
func (s *Service) hear(ctx context.Context, node string, data []byte) {
	var r edge.Report
	if err := json.Unmarshal(data, &r); err != nil || !id.Valid("nod", r.Node) || r.Node != node {
		s.deps.Log.Warn("a report of an edge that cannot be read, or speaks of another one", "node", node, "cause", err)
		return
	}
	now := s.now()
	s.mu.Lock()
	h := s.edges[r.Node]
	full := h == nil && len(s.edges) >= mostEdges
	s.mu.Unlock()
	if h == nil {
		if full || s.deps.Known(ctx, r.Node) != nil {
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h = s.edges[r.Node]; h == nil {
		h = &heard{}
		s.edges[r.Node] = h
	}
	seconds := h.Seconds
	h.Report, h.at = r, now
	if r.Seconds == 0 { // it only says what is applied
		h.Seconds = seconds
		return
	}
	h.rate = edge.Counts{}
	for of, c := range r.Sites {
		h.rate.Requests += c.Requests
		h.rate.Hits += c.Hits
		h.rate.Bytes += c.Bytes
		h.rate.Fetched += c.Fetched
		s.count(of, now, c)
	}
}

// Edges are those that viewers can be sent to, and how they are. What was never heard of
// since this process started has no place in it.
func (s *Service) Edges(ctx context.Context) (list []edge.Node, are edge.Presence, err error) {
	err = s.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		list, err = nodes(tx)
		return err
	})
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	list = slices.DeleteFunc(list, func(n edge.Node) bool { return n.URL == "" || s.edges[n.ID] == nil })
	for _, n := range list {
		h := s.edges[n.ID]
		p := edge.Present{ID: n.ID, Away: now.Sub(h.at).Seconds(), Load: h.Load}
		if h.Seconds > 0 {
			p.Egress = int64(float64(h.rate.Bytes) * 8 / h.Seconds)
		}
		are.Edges = append(are.Edges, p)
	}
	return list, are, err
}

// Watching is how many watch a stream by edges, about.
func (s *Service) Watching(stream string) (count int) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.edges {
		if now.Sub(h.at) <= awayAfter {
			count += int(h.Viewers[stream])
		}
	}
	return count
}

// Forget drops a node that was deleted.
func (s *Service) Forget(ctx context.Context, node string) error {
	s.mu.Lock()
	delete(s.edges, node)
	s.mu.Unlock()
	return s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		var revision int64
		err := tx.QueryRow("SELECT rev FROM edge_nodes WHERE id = ?", node).Scan(&revision)
		if errors.Is(err, store.ErrNoRows) {
			return nil // it is no edge, or another control node has done it
		}
		if err != nil {
			return err
		}
		before, next, err := s.begin(tx)
		if err != nil {
			return err
		}
		removed, err := tx.Exec("DELETE FROM edge_nodes WHERE id = ? AND rev = ?", node, revision)
		if err != nil || removed == 0 {
			return err
		}
		next.sum -= edge.Mark(node, revision)
		if err := bury(tx, node, next.revision); err != nil {
			return err
		}
		if _, err := tx.Exec("DELETE FROM edge_usage WHERE node = ?", node); err != nil {
			return err
		}
		return s.commit(tx, before, next, edge.Delta{Gone: []string{node}})
	})
}

// place notes where an edge is, when that has changed.
func (s *Service) place(ctx context.Context, node string, p edge.Place) error {
	var text []byte
	same, told := false, p.URL
	err := s.deps.DB.Read(ctx, func(tx *store.Tx) error {
		taken, err := takenBySite(tx, told)
		if err != nil {
			return err
		}
		if taken {
			p.URL = "" // its viewers would get that site: nobody is sent there
		}
		if text, err = json.Marshal(p); err != nil {
			return err
		}
		var kept string
		err = tx.QueryRow("SELECT place FROM edge_nodes WHERE id = ?", node).Scan(&kept)
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		same = kept == string(text)
		return err
	})
	if err != nil || same {
		return err
	}
	if p.URL != told {
		s.deps.Log.Error("a site has the name of an edge: no viewers are sent to the edge until it has another url, or the site another name", "edge", p.Name, "url", told)
	}
	return s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		before, next, err := s.begin(tx)
		if err != nil {
			return err
		}
		var revision int64
		err = tx.QueryRow("SELECT rev FROM edge_nodes WHERE id = ?", node).Scan(&revision)
		switch {
		case err == nil:
			next.sum -= edge.Mark(node, revision)
		case !errors.Is(err, store.ErrNoRows):
			return err
		}
		next.sum += edge.Mark(node, next.revision)
		_, err = tx.Exec("INSERT INTO edge_nodes (id, place, rev) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET place = excluded.place, rev = excluded.rev",
			node, string(text), next.revision)
		if err != nil {
			return err
		}
		return s.commit(tx, before, next, edge.Delta{Nodes: []edge.Node{{ID: node, Revision: next.revision, Place: p}}})
	})
}

// takenBySite reports whether a site is served by the host of an address.
func takenBySite(tx *store.Tx, address string) (bool, error) {
	u, err := url.Parse(address)
	if err != nil || address == "" {
		return false, nil // it leads nowhere
	}
	host := strings.ToLower(u.Hostname())
	var count int64
	err = tx.QueryRow("SELECT COUNT(*) FROM site_hosts WHERE host = ? OR host = ?", host, "*."+parentOf(host)).Scan(&count)
	return count > 0, err
}

// forgetGone drops what was heard of edges that have been away for long.
func (s *Service) forgetGone() {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for node, h := range s.edges {
		if now.Sub(h.at) > time.Hour {
			delete(s.edges, node)
		}
	}
	for of, t := range s.traffic {
		if now.Sub(t.last()) > trafficFor {
			delete(s.traffic, of)
		}
	}
}

// nodes are the edges there are, by id.
func nodes(tx *store.Tx) (list []edge.Node, err error) {
	d := edge.Delta{}
	for after := int64(0); ; after = list[len(list)-1].Revision {
		d.Nodes, d.More = nil, false
		if err := nodesSince(tx, &d, after); err != nil {
			return nil, err
		}
		list = append(list, d.Nodes...)
		if !d.More {
			break
		}
	}
	slices.SortFunc(list, func(a, b edge.Node) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// takeUsage adds what an edge has served, once.
func (s *Service) takeUsage(ctx context.Context, node string, data []byte) (any, error) {
	var u edge.Usage
	if err := json.Unmarshal(data, &u); err != nil || !id.Valid("nod", u.Node) || u.Node != node {
		return nil, badUsage(err)
	}
	if _, err := time.Parse(time.DateOnly, u.Day); err != nil {
		return nil, badUsage(err)
	}
	if err := s.deps.Known(ctx, u.Node); err != nil {
		return nil, err
	}
	return struct{}{}, s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		taken, err := tx.Exec("INSERT INTO edge_usage (node, number) VALUES (?, ?) ON CONFLICT (node) DO UPDATE SET number = excluded.number WHERE edge_usage.number < excluded.number",
			u.Node, u.Number)
		if err != nil || taken == 0 {
			return err // it was counted already
		}
		for tenant, bytes := range u.Bytes {
			if bytes <= 0 {
				continue
			}
			if err := s.deps.Served(tx, tenant, u.Day, bytes); err != nil {
				return err
			}
		}
		return nil
	})
}
