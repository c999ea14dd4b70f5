package front

import (
	"cmp"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
)

const (
	keptPaths = 200 // of a site, between two reports
	toldPaths = 20  // of them in a report
	// longestPath is what is kept of one.
	longestPath = 256
)

// sketch counts the paths that are asked for most, in bounded memory: the Space-Saving
// algorithm (Metwally, Agrawal and El Abbadi, "Efficient Computation of Frequent and
// Top-k Elements in Data Streams", 2005). A path that is not among those kept takes the
// place of the one with the smallest count, and goes on from there; excess is how much of
// a count may be of others. A path of which there were more than a 200th of all requests
// is always kept.
type sketch struct {
	index  map[uint64]int // places by hash
	hashes []uint64
	counts []int64
	excess []int64
	paths  [][]byte
}

func newSketch() *sketch { return &sketch{index: make(map[uint64]int, keptPaths)} }

// add counts a path behind its host, given in two pieces. It does not allocate once there are keptPaths,
// or buffers of a former use.
func (s *sketch) add(seed maphash.Seed, host, before, after string) {
	var room [longestHost]byte
	name := appendHost(room[:0], host)
	before = before[:min(len(before), longestPath)]
	after = after[:min(len(after), longestPath-len(before))]
	hash := (maphash.Bytes(seed, name)*31+maphash.String(seed, before))*31 + maphash.String(seed, after)
	at, known := s.index[hash]
	if known {
		s.counts[at]++
		return
	}
	at = len(s.counts)
	if at < keptPaths {
		s.hashes, s.counts, s.excess = append(s.hashes, 0), append(s.counts, 0), append(s.excess, 0)
		if at == len(s.paths) {
			s.paths = append(s.paths, nil)
		}
	} else {
		at = 0
		for i, n := range s.counts {
			if n < s.counts[at] {
				at = i
			}
		}
		delete(s.index, s.hashes[at])
		s.excess[at] = s.counts[at]
	}
	s.hashes[at] = hash
	s.counts[at]++
	s.paths[at] = append(append(append(s.paths[at][:0], name...), before...), after...)
	s.index[hash] = at
}

// top returns the n paths that were asked for most, and how often at least.
func (s *sketch) top(n int) map[string]int64 {
	places := make([]int, 0, len(s.counts))
	for i := range s.counts {
		places = append(places, i)
	}
	slices.SortFunc(places, func(a, b int) int {
		return cmp.Or(cmp.Compare(s.counts[b]-s.excess[b], s.counts[a]-s.excess[a]), cmp.Compare(a, b))
	})
	top := make(map[string]int64, n)
	for _, at := range places[:min(n, len(places))] {
		top[string(s.paths[at])] = s.counts[at] - s.excess[at]
	}
	return top
}

// reset forgets all, but keeps the buffers.
func (s *sketch) reset() {
	clear(s.index)
	s.hashes, s.counts, s.excess = s.hashes[:0], s.counts[:0], s.excess[:0]
}

// hide returns the two pieces of a path that are around a token of a playback address:
// who has that may watch.
func hide(path string) (before, after string) {
	for i := 0; ; {
		n := strings.Index(path[i:], "/~")
		if n < 0 {
			return path, ""
		}
		i += n + len("/~")
		if head := path[:i]; strings.HasSuffix(head, "/play/~") || strings.HasSuffix(head, "/embed/~") {
			if end := strings.IndexByte(path[i:], '/'); end >= 0 {
				return head, path[i+end:]
			}
			return head, ""
		}
	}
}

// network is what is shown of a client: enough to see a crowd, too little to see who.
func network(client string) string {
	var at netip.Addr
	if both, err := netip.ParseAddrPort(client); err == nil {
		at = both.Addr()
	} else if at, err = netip.ParseAddr(client); err != nil {
		return ""
	}
	at = at.Unmap()
	bits := 48
	if at.Is4() {
		bits = 24
	}
	shown, err := at.Prefix(bits)
	if err != nil {
		return ""
	}
	return shown.String()
}
