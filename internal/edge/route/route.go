// Package route decides which node a viewer is sent to, and tells them in three ways: by
// a redirection (HTTP 302), by HLS content steering and by DASH content steering. All
// three ask one Scheduler, which knows the nodes, how they are, and from which addresses
// which region's viewers come. The package measures nothing, and does not serve media.
package route

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// State is how a node is.
type State string

// The states in which a node is sent viewers. In any other one it is sent none.
const (
	Ready    State = "ready"
	Draining State = "draining" // only while nothing is ready
)

// Node is a machine that serves viewers. It belongs to the scheduler once it was given.
type Node struct {
	ID       string   // a legal pathway ID: letters, digits, ".", "-" and "_"
	Name     string   // for people
	URL      *url.URL // where viewers reach it; paths of media are appended to its own
	Region   string   // whose viewers it is for before others; "" for no one's
	Capacity int64    // bits a second that it can send; 0 is unknown
	Egress   int64    // bits a second that it sends
	Load     float64  // of its cores, 0 to 1
	State    State
	Seen     time.Time // when it was last heard of
}

// What a node's share of use means; see Scheduler.
const (
	busyAt = 0.70
	fullAt = 0.95
)

// unseenAfter is how long a node is believed that is not heard of.
const unseenAfter = 15 * time.Second

// most is how many nodes are ranked.
const most = 8

// Scheduler ranks nodes for a viewer and what they watch. The zero Scheduler knows no
// nodes. All methods may be called at once, and two schedulers that know the same rank
// alike.
//
// A node's use u is the larger of Load and Egress/Capacity. Nodes are ranked by class:
//
//  1. of the viewer's region, with room for this viewer
//  2. of the viewer's region, not full (u < 0.95)
//  3. and 4. the same of other regions
//  5. full ones of the viewer's region
//  6. other full ones
//  7. draining ones of the viewer's region
//  8. other draining ones
//
// A node has room for all viewers up to u = 0.70, and from there for a share of them that
// falls evenly to none at u = 0.95. Who belongs to the share is a hash of the viewer's
// address (of IPv6 the first 64 bits), the content and the node. So a node that fills up
// passes on more and more of those who come, and nobody flutters.
//
// Within a class the order is that of weighted rendezvous hashing: the least of
// −ln h/w, where h is a hash of content and node in (0, 1) and w the capacity, or the mean
// capacity where that is unknown. A stream is thus on one node until that is busy, then on
// two, and so on; nodes get contents in proportion to capacity, and one that comes or goes
// moves only its own.
//
// A node that was not heard of for 15 s is named only if all are such: then it is the
// scheduler that is cut off.
type Scheduler struct {
	nodes    atomic.Pointer[nodeSet]
	prefixes atomic.Pointer[Prefixes]
}

// nodeSet is what does not change until the next SetNodes.
type nodeSet struct {
	list []member
	byID map[string]int
}

type member struct {
	Node
	hash   uint64
	weight float64
	use    float64
	base   string // URL without a slash at its end
}

// SetNodes replaces the nodes. One that cannot be sent viewers, or whose ID another has,
// is left out and named in the error; the others hold.
func (s *Scheduler) SetNodes(nodes []Node) error {
	set := &nodeSet{byID: make(map[string]int, len(nodes))}
	var problems []error
	for _, n := range nodes {
		if err := n.check(); err != nil {
			problems = append(problems, fmt.Errorf("node %q: %w", n.ID, err))
			continue
		}
		if _, twice := set.byID[n.ID]; twice {
			problems = append(problems, fmt.Errorf("node %q is there twice", n.ID))
			continue
		}
		set.byID[n.ID] = len(set.list)
		set.list = append(set.list, member{Node: n, hash: hashOf(n.ID), use: n.use(), base: n.base()})
	}
	set.weigh()
	s.nodes.Store(set)
	return errors.Join(problems...)
}

// SetPrefixes replaces what is known of viewers' addresses; nil is nothing.
func (s *Scheduler) SetPrefixes(p *Prefixes) { s.prefixes.Store(p) }

func (n Node) check() error {
	switch {
	case !isPathway(n.ID):
		return errors.New("the ID is empty, too long, or has other characters than letters, digits, '.', '-' and '_'")
	case n.URL == nil || n.URL.Hostname() == "" || n.URL.Scheme != "http" && n.URL.Scheme != "https":
		return errors.New("it has no http or https address for viewers")
	case n.URL.User != nil || n.URL.RawQuery != "" || n.URL.Fragment != "":
		return fmt.Errorf("its address %q has more than host and path", n.URL.Redacted())
	}
	return nil
}

// isPathway reports whether id is a pathway ID (draft-pantos-hls-rfc8216bis, section 7.1)
// that is not taken.
func isPathway(id string) bool {
	return id != basePathway && id != "" && len(id) <= 128 &&
		strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}

func (n Node) use() float64 {
	use := n.Load
	if n.Capacity > 0 {
		use = max(use, float64(n.Egress)/float64(n.Capacity))
	}
	if !(use > 0) { // not a number either
		return 0
	}
	return use
}

func (n Node) base() string {
	return n.URL.Scheme + "://" + n.URL.Host + strings.TrimSuffix(n.URL.EscapedPath(), "/")
}

// port is the port that viewers connect to.
func (n Node) port() string {
	if port := n.URL.Port(); port != "" {
		return port
	}
	if n.URL.Scheme == "https" {
		return "443"
	}
	return "80"
}

// weigh gives nodes their weights.
func (set *nodeSet) weigh() {
	var sum float64
	var known int
	for _, m := range set.list {
		if m.Capacity > 0 {
			sum += float64(m.Capacity)
			known++
		}
	}
	mean := 1.0
	if known > 0 {
		mean = sum / float64(known)
	}
	for i := range set.list {
		set.list[i].weight = mean
		if c := set.list[i].Capacity; c > 0 {
			set.list[i].weight = float64(c)
		}
	}
}

// ranked is a node with its place.
type ranked struct {
	*member
	class int
	race  float64
}

func (r ranked) compare(o ranked) int {
	return cmp.Or(cmp.Compare(r.class, o.class), cmp.Compare(r.race, o.race), strings.Compare(r.ID, o.ID))
}

// The classes. That of another region is one more in those that have two.
const (
	classRoom = iota
	classOpen
	classOtherRoom
	classOtherOpen
	classFull
	classOtherFull
	classDraining
	classOtherDraining
)

// rank fills buf with the nodes for a viewer of content, the best first: see Scheduler. An
// invalid client is one of whom nothing is known. It allocates nothing.
func (s *Scheduler) rank(buf *[most]ranked, client netip.Addr, content string) []ranked {
	set := s.nodes.Load()
	if set == nil {
		return nil
	}
	region := s.prefixes.Load().Region(client)
	now := time.Now()
	if found := set.rank(buf, region, client, content, now.Add(-unseenAfter)); len(found) > 0 {
		return found
	}
	return set.rank(buf, region, client, content, time.Time{})
}

// rank ranks those that were seen after a time.
func (set *nodeSet) rank(buf *[most]ranked, region string, client netip.Addr, content string, after time.Time) []ranked {
	viewer, what := hashAddr(client), hashOf(content)
	found := buf[:0]
	for i := range set.list {
		m := &set.list[i]
		if m.State != Ready && m.State != Draining || m.Seen.Before(after) {
			continue
		}
		pair := mix(what ^ m.hash)
		r := ranked{m, m.classFor(region, unit(mix(pair^viewer))), -math.Log(unit(pair)) / m.weight}
		at := len(found)
		for at > 0 && r.compare(found[at-1]) < 0 {
			at--
		}
		if at == most {
			continue
		}
		if len(found) < most {
			found = found[:len(found)+1]
		}
		copy(found[at+1:], found[at:])
		found[at] = r
	}
	return found
}

// classFor is the class of a node for viewers of a region; chance is the viewer's own, in
// (0, 1). Who is of no known region is at home everywhere.
func (m *member) classFor(region string, chance float64) int {
	home := region == "" || m.Region == region
	var class, further int
	switch share := (fullAt - m.use) / (fullAt - busyAt); {
	case m.State == Draining:
		class, further = classDraining, classOtherDraining
	case m.use >= fullAt:
		class, further = classFull, classOtherFull
	case chance < share:
		class, further = classRoom, classOtherRoom
	default:
		class, further = classOpen, classOtherOpen
	}
	if home {
		return class
	}
	return further
}

// node returns the node of an ID.
func (s *Scheduler) node(id string) (*member, bool) {
	set := s.nodes.Load()
	if set == nil {
		return nil, false
	}
	i, ok := set.byID[id]
	if !ok {
		return nil, false
	}
	return &set.list[i], true
}

// hashOf is FNV-1a: the same in all processes, as routers have to agree.
func hashOf(s string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * prime
	}
	return mix(h)
}

// hashAddr is the hash of who is behind an address: in IPv6 those of a network are one.
func hashAddr(a netip.Addr) uint64 {
	var bytes [16]byte
	if a.IsValid() {
		bytes = a.As16()
	}
	if a.Is6() && !a.Is4In6() {
		clear(bytes[8:])
	}
	var h uint64
	for _, b := range bytes {
		h = h<<8 ^ h>>56 ^ uint64(b)
		h *= 0x9e3779b97f4a7c15
	}
	return mix(h)
}

// mix spreads each bit over all (the finalizer of SplitMix64).
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// unit maps a hash into (0, 1).
func unit(h uint64) float64 { return (float64(h>>11) + 0.5) / (1 << 53) }

// remoteAddr is who a request comes from.
func remoteAddr(remote string) netip.Addr {
	if a, err := netip.ParseAddrPort(remote); err == nil {
		return a.Addr().Unmap()
	}
	host, _, _ := net.SplitHostPort(remote)
	a, _ := netip.ParseAddr(host)
	return a.Unmap()
}
