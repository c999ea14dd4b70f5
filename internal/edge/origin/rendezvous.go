package origin

import (
	"net/http"
	"strings"
	"time"
)

// pick finds the shield for a question by rendezvous hashing (Thaler and Ravishankar,
// "Using name-based mappings to increase hit rates", 1998): each shield draws a number by
// the hash of the key and its own name, and the highest is it. When a shield goes, only
// what was its own moves, and it moves to all others.
//
// Shields that have more than their share of what is in flight, by a quarter, are passed
// over (Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded loads",
// 2016). In flight is what this edge has asked alone.
func pick(peers []*peer, q *question, now time.Time, n need) (chosen, bool) {
	var load, all int64
	for _, p := range peers {
		if p.breaker.allows(now, n) {
			load += p.inFlight.Load()
			all++
		}
	}
	var best *peer
	highest := uint64(0)
	for _, p := range peers {
		if q.has(p.target) || !p.breaker.allows(now, n) || p.inFlight.Load() >= bound(load, all) {
			continue
		}
		score := p.score(q.key)
		if score <= q.above {
			continue
		}
		if best == nil || score > highest || score == highest && p.ID < best.ID {
			best, highest = p, score
		}
	}
	if best == nil {
		return chosen{}, false
	}
	return best.choose(now, n)
}

// scoreOf is what this cache draws itself, or 0 where it is no shield. It asks only those
// that draw more, so that of two neither waits for the other, whoever is passed over.
func scoreOf(peers []*peer, self string, key uint64) uint64 {
	for _, p := range peers {
		if p.ID == self {
			return p.score(key)
		}
	}
	return 0
}

// idleLoad is what a shield may have in flight in any case. With less than that none is
// loaded, and a second request for the same would go to a shield that has not got it.
const idleLoad = 16

// bound is how much may be in flight at a shield before it gets one more: its share of all
// with that, and a quarter of it.
func bound(load, all int64) int64 {
	if all == 0 {
		return 0 // they have all failed meanwhile
	}
	return max(idleLoad, (5*(load+1)+4*all-1)/(4*all))
}

// score is what a shield draws for a key. It is never 0.
func (p *peer) score(key uint64) uint64 { return max(mix(key^p.seed), 1) }

// keyOf is the hash of what a request asks for. What follows from it is the same in each
// process.
func keyOf(r *http.Request) uint64 {
	h := fnv{offset}
	for _, c := range []byte(viewerHost(r)) {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		h.add(c)
	}
	h.add(' ')
	h.text(r.URL.EscapedPath())
	for parameter := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if parameter != "" && !begins(parameter, "_HLS_") {
			h.add('&')
			h.text(parameter)
		}
	}
	return h.sum
}

func hashString(s string) uint64 {
	h := fnv{offset}
	h.text(s)
	return mix(h.sum)
}

// fnv is FNV-1a of 64 bits, which hash/fnv has only for bytes.
type fnv struct{ sum uint64 }

const (
	offset = 14695981039346656037
	prime  = 1099511628211
)

func (f *fnv) add(c byte) { f.sum = (f.sum ^ uint64(c)) * prime }

func (f *fnv) text(s string) {
	for i := range len(s) {
		f.add(s[i])
	}
}

// mix spreads each bit over all (the finaliser of MurmurHash3).
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
