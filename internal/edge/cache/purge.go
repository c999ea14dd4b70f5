package cache

import (
	"slices"
	"strings"
	"time"

	"liuyun/internal/base/fault"
)

// Purge says what is not to be served any more as it is stored.
type Purge struct {
	// Sequence is its place in the order of all purges: 1 at least, and greater than that
	// of each one before.
	Sequence int64
	// Site is the Name of the Site that it is for; "" is all of them.
	Site string
	Kind PurgeKind
	// Value is what is purged, as the Kind says.
	Value  string
	Effect Effect
}

// PurgeKind is what a Value is. Case makes no difference in hosts and tags, nor percent
// encoding in paths and queries; ports are not looked at.
type PurgeKind uint8

// The kinds. Their numbers are on disks.
const (
	// PurgeEverything has no Value.
	PurgeEverything PurgeKind = iota + 1
	// PurgeHost is for all that was asked for under a name: "www.example.org".
	PurgeHost
	// PurgePrefix is for the addresses that begin so. It ends where a segment of the path
	// or the path does: "example.org/videos/" for all below, "example.org/list?" for one
	// path without a query and with any. A star after that changes nothing.
	PurgePrefix
	// PurgeTag is for the responses that have it in Surrogate-Key or Cache-Tag.
	PurgeTag
	// PurgeURL is for one address with its query, and with all its variants and slices:
	// "example.org/film.mp4?v=2". The scheme may stand before it.
	PurgeURL
)

// Effect is what becomes of what is purged. It is done when somebody asks for that: no
// purge takes longer for having much to purge.
type Effect int

// The effects.
const (
	// Outdate makes it stale from the purge on. It is validated at the origin, and where
	// that takes time or fails, stale-while-revalidate and stale-if-error count from there.
	Outdate Effect = iota
	// Forget has it not served again, and not validated.
	Forget
)

// Bounds of what is purged.
const (
	mostValue    = 8 << 10 // bytes of a Value
	mostSiteName = 255
	mostDepth    = 32       // places where a prefix may end
	mostTag      = 1 << 10  // bytes of a tag
	mostTags     = 256      // of a response
	mostTagBytes = 16 << 10 // of all of them
)

// Purge applies purges. What was asked for before it returns, of what they are for, is no
// answer to a request that comes later, other than their effects allow; where it returns
// nil, not after a kill either. An error that is Invalid says that none is applied, and
// another one that they are not on the disk: then a later Purge writes them, one with the
// same too. Purges that were applied already change nothing, and they may come in any
// order.
func (c *Cache) Purge(purges ...Purge) error {
	records := make([]markRecord, len(purges))
	now := time.Now().UnixNano()
	for i, p := range purges {
		t, err := p.target()
		if err != nil {
			return err
		}
		records[i] = markRecord{p.Site, t, mark{outdated: p.Sequence, at: now}}
		if p.Effect == Forget {
			records[i].mark = mark{forgotten: p.Sequence}
		}
	}
	m := c.marks
	m.changing.Lock()
	defer m.changing.Unlock()
	changed := records[:0]
	for _, r := range records {
		if m.set(&r) {
			changed = append(changed, r)
		}
		m.behind = m.fold(mostMarks) || m.behind
	}
	var err error
	switch {
	case m.behind:
		err = c.catalog.rewriteMarks(m)
	case len(changed) > 0:
		err = c.catalog.putMarks(changed)
	}
	if m.behind = err != nil; err != nil {
		return fault.Wrap(err, fault.Unavailable, "what is purged is not served any more, but the disk does not know of it: a restart would bring it back; look whether the disk is full, and purge again")
	}
	m.saved.Store(m.latest.Load())
	return nil
}

// Purged returns the greatest sequence of the purges that are on the disk.
func (c *Cache) Purged() int64 { return c.marks.saved.Load() }

// Validate says what is wrong with a purge.
func (p Purge) Validate() error {
	_, err := p.target()
	return err
}

// target is what a purge is for, within its site.
func (p Purge) target() (target, error) {
	t := target{kind: p.Kind}
	switch {
	case p.Sequence < 1:
		return t, fault.New(fault.Invalid, "the sequence of a purge is %d; it begins with 1", p.Sequence)
	case len(p.Site) > mostSiteName || strings.ContainsAny(p.Site, " \x00"):
		return t, fault.New(fault.Invalid, "the name of a site is %d bytes at most and has no blanks", mostSiteName)
	case p.Effect != Outdate && p.Effect != Forget:
		return t, fault.New(fault.Invalid, "a purge has the effect %d, which this version does not know", p.Effect)
	case len(p.Value) > mostValue:
		return t, fault.New(fault.Invalid, "what is purged is %d bytes long; %d are taken", len(p.Value), mostValue)
	case strings.ContainsFunc(p.Value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return t, fault.New(fault.Invalid, "what is purged has a control character in it: %q", p.Value)
	}
	var err error
	switch p.Kind {
	case PurgeEverything:
		if p.Value != "" {
			err = fault.New(fault.Invalid, "a purge of everything has no value; %q is one", p.Value)
		}
	case PurgeHost:
		t.hash, err = hostOf(p.Value)
	case PurgePrefix:
		t.hash, err = prefixOf(p.Value)
	case PurgeURL:
		var path string
		t.hash, path, err = addressOf(p.Value)
		t.hash = t.hash.address(path, func(hash) {})
	case PurgeTag:
		tag := strings.Trim(p.Value, " \t")
		if t.hash = emptyHash.folded(tag); tag == "" || len(tag) > mostTag {
			err = fault.New(fault.Invalid, "a tag has 1 to %d bytes; this one has %d", mostTag, len(tag))
		}
	default:
		err = fault.New(fault.Invalid, "a purge is of kind %d, which this version does not know", p.Kind)
	}
	return t, err
}

// hostOf reads the name of a host.
func hostOf(value string) (hash, error) {
	strange := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._:[]", c)
	}
	name := hostname(value)
	if name == "" || strings.ContainsFunc(value, strange) {
		return 0, fault.New(fault.Invalid, "%q is no name of a host: write it as in an address, www.example.org or xn--bcher-kva.example", value)
	}
	return emptyHash.folded(name), nil
}

// addressOf reads an address up to its path.
func addressOf(value string) (host hash, path string, err error) {
	if strings.Contains(value, "#") {
		return 0, "", fault.New(fault.Invalid, "%q has a fragment, which servers are not asked for: leave out what follows #", value)
	}
	name, path := cutAddress(value)
	host, err = hostOf(name)
	return host, path, err
}

// prefixOf reads the value of PurgePrefix.
func prefixOf(value string) (hash, error) {
	if strings.HasSuffix(value, "/*") || strings.HasSuffix(value, "?*") {
		value = value[:len(value)-1]
	}
	host, path, err := addressOf(value)
	if err != nil {
		return 0, err
	}
	var ends []hash
	whole := host.address(path, func(end hash) { ends = append(ends, end) })
	switch place := slices.Index(ends, whole); {
	case place < 0:
		return 0, fault.New(fault.Invalid, "the prefix %q ends within a name: end it with / for all below, or with ? for one path with any query", value)
	case place >= mostDepth:
		return 0, fault.New(fault.Invalid, "the prefix %q is too deep: it may have %d segments", value, mostDepth-1)
	}
	return whole, nil
}

// cutAddress parts an address, with or without its scheme, behind the host.
func cutAddress(value string) (host, path string) {
	scheme, rest, ok := strings.Cut(value, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		rest = value
	}
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return rest, "/"
	case rest[i] == '?':
		return rest[:i], "/" + rest[i:]
	}
	return rest[:i], rest[i:]
}

// hostname is a Host without its port and a dot at its end.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	return strings.TrimSuffix(host, ".")
}

// hash is FNV-1a of what can be purged, in 64 bits. Of two things with the same one, a
// purge of the one is one of the other too; both are of one site.
type hash uint64

const emptyHash hash = 14695981039346656037

func (h hash) add(b byte) hash { return (h ^ hash(b)) * 1099511628211 }

// folded goes on with a text in lower case.
func (h hash) folded(text string) hash {
	for i := range len(text) {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		h = h.add(c)
	}
	return h
}

// address goes on with a path and its query, decoded, and calls end with the hash of each
// prefix: up to a slash of the path, and up to the question mark, also where there is
// none. What is decoded to one of these is one.
func (h hash) address(path string, end func(hash)) hash {
	query := false
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' && i+2 < len(path) {
			if high, low := hexDigit(path[i+1]), hexDigit(path[i+2]); high >= 0 && low >= 0 {
				c = byte(high<<4 | low)
				i += 2
			}
		}
		h = h.add(c)
		if !query && (c == '/' || c == '?') {
			end(h)
		}
		query = query || c == '?'
	}
	if !query {
		end(h.add('?'))
	}
	return h
}

// hexDigit is what a digit says, or -1.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// tagsOf are the tags of a response. ok is false where there are more than are kept, or
// longer ones than can be purged.
func tagsOf(keys, tags []string) (hashes []hash, ok bool) {
	bytes := 0
	take := func(tag string) bool {
		if tag = strings.Trim(tag, " \t"); tag == "" {
			return true
		}
		bytes += len(tag)
		if len(tag) > mostTag || bytes > mostTagBytes || len(hashes) == mostTags {
			return false
		}
		hashes = append(hashes, emptyHash.folded(tag))
		return true
	}
	for _, line := range keys {
		for tag := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ' ' || r == '\t' }) {
			if !take(tag) {
				return nil, false
			}
		}
	}
	for _, line := range tags {
		for tag := range strings.SplitSeq(line, ",") {
			if !take(tag) {
				return nil, false
			}
		}
	}
	return hashes, true
}
