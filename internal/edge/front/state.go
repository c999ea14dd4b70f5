package front

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"liuyun/internal/contract/edge"
)

// State is what an edge was told. It does not change: another takes its place.
type State struct {
	Revision int64 // all up to it is applied
	Sites    map[string]*edge.Site
	Nodes    map[string]*edge.Node
	Secrets  [][]byte // of playback addresses, the newest first

	sum     uint64 // see edge.Delta
	changed bool   // more than the revision is other than in the state before
}

// The most that an edge takes. What brings more is refused whole.
const (
	mostSites = 100_000
	mostNodes = 10_000
)

// with is the state after a delta that fits. What has no id is left out.
func (s *State) with(d *edge.Delta) (*State, error) {
	n := &State{Revision: d.Revision, Sites: s.Sites, Nodes: s.Nodes, Secrets: s.Secrets, sum: s.sum}
	if len(d.Secrets) > 0 && !slices.EqualFunc(d.Secrets, s.Secrets, bytes.Equal) {
		n.Secrets, n.changed = d.Secrets, true
	}
	if len(d.Sites)+len(d.Nodes)+len(d.Gone) == 0 {
		return n, nil
	}
	n.changed = true
	n.Sites, n.Nodes = maps.Clone(s.Sites), maps.Clone(s.Nodes)
	if n.Sites == nil {
		n.Sites = make(map[string]*edge.Site)
	}
	if n.Nodes == nil {
		n.Nodes = make(map[string]*edge.Node)
	}
	for _, id := range d.Gone {
		n.removeSite(id)
		n.removeNode(id)
	}
	for i := range d.Sites {
		site := new(d.Sites[i])
		if site.ID == "" || site.ID == edge.Cloud {
			continue
		}
		n.removeSite(site.ID)
		n.Sites[site.ID] = site
		n.sum += edge.Mark(site.ID, site.Revision)
	}
	for i := range d.Nodes {
		node := new(d.Nodes[i])
		if node.ID == "" {
			continue
		}
		n.removeNode(node.ID)
		n.Nodes[node.ID] = node
		n.sum += edge.Mark(node.ID, node.Revision)
	}
	if len(n.Sites) > mostSites || len(n.Nodes) > mostNodes {
		return nil, fmt.Errorf("%d sites and %d nodes are more than an edge takes", len(n.Sites), len(n.Nodes))
	}
	return n, nil
}

func (s *State) removeSite(id string) {
	if old := s.Sites[id]; old != nil {
		s.sum -= edge.Mark(id, old.Revision)
		delete(s.Sites, id)
	}
}

func (s *State) removeNode(id string) {
	if old := s.Nodes[id]; old != nil {
		s.sum -= edge.Mark(id, old.Revision)
		delete(s.Nodes, id)
	}
}
