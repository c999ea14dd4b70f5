package cache

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

// marks are what purges leave: what was asked for before a mark is not as good any more.
// No object is looked for when a purge comes, and none but itself when one is asked for.
type marks struct {
	latest  atomic.Int64  // the greatest sequence
	saved   atomic.Int64  // the greatest one that is on the disk with all before
	changes atomic.Uint64 // how often the rest has changed

	changing sync.Mutex // held by who changes and writes them
	behind   bool       // the disk does not have them all

	mu    sync.RWMutex
	sites map[string]*siteMarks // by name; "" is all of them
	count int
}

// siteMarks are those of a site.
type siteMarks struct {
	all    mark
	values map[target]mark
	newest [PurgeURL + 1]int64 // sequence of each kind in values, at most
}

// target is what a mark is of, within a site.
type target struct {
	kind PurgeKind
	hash hash
}

// mark is when something was purged.
type mark struct {
	outdated  int64 // sequence of the last purge that made it stale
	at        int64 // when that came, in nanoseconds since 1970
	forgotten int64 // sequence of the last purge that had it forgotten
}

// mostMarks bounds the marks. When there are more, the oldest quarter is taken for purges
// of their sites: what was fetched or validated since then does not notice.
const mostMarks = 100_000

func newMarks() *marks { return &marks{sites: make(map[string]*siteMarks)} }

// markRecord is a mark as the disk has it.
type markRecord struct {
	site string
	target
	mark
}

// join is a mark that says what both say.
func (m mark) join(other mark) mark {
	if other.outdated > m.outdated {
		m.outdated, m.at = other.outdated, other.at
	}
	m.forgotten = max(m.forgotten, other.forgotten)
	return m
}

// last is the sequence of the last purge.
func (m mark) last() int64 { return max(m.outdated, m.forgotten) }

// site returns the marks of a site, and makes them.
func (m *marks) site(name string) *siteMarks {
	s := m.sites[name]
	if s == nil {
		s = &siteMarks{values: make(map[target]mark)}
		m.sites[name] = s
		m.count++
	}
	return s
}

// set adds a mark to what there is, and reports whether that says more then. The caller
// holds changing, or is alone.
func (m *marks) set(r *markRecord) (changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.site(r.site)
	old := s.all
	if r.kind != PurgeEverything {
		old = s.values[r.target]
	}
	if r.outdated <= old.forgotten { // nothing is left that it concerns
		r.outdated, r.at = 0, 0
	}
	joined := old.join(r.mark)
	r.mark = joined
	if joined == old {
		return false
	}
	switch {
	case r.kind == PurgeEverything:
		s.all = joined
	default:
		if old == (mark{}) {
			m.count++
		}
		s.values[r.target] = joined
		s.newest[r.kind] = max(s.newest[r.kind], joined.last())
	}
	m.latest.Store(max(m.latest.Load(), joined.last()))
	m.changes.Add(1)
	return true
}

// fold takes the oldest marks together where there are too many, and reports whether it
// did. The caller holds changing.
func (m *marks) fold(most int) (folded bool) {
	for m.count > most {
		var sequences []int64
		for _, s := range m.sites {
			for _, v := range s.values {
				sequences = append(sequences, v.last())
			}
		}
		if len(sequences) == 0 {
			return m.foldSites(most) || folded
		}
		slices.Sort(sequences)
		cut := sequences[len(sequences)/4]
		m.mu.Lock()
		for _, s := range m.sites {
			for t, v := range s.values {
				if v.last() <= cut {
					s.all = s.all.join(v)
					delete(s.values, t)
					m.count--
				}
			}
		}
		m.changes.Add(1)
		m.mu.Unlock()
		folded = true
	}
	return folded
}

// foldSites takes marks of whole sites for marks of all, where there are no others.
func (m *marks) foldSites(most int) (folded bool) {
	names := make([]string, 0, len(m.sites))
	for name := range m.sites {
		if name != "" {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(m.sites[a].all.last(), m.sites[b].all.last()) })
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		if m.count <= most*3/4 {
			break
		}
		all := m.site("")
		all.all = all.all.join(m.sites[name].all)
		delete(m.sites, name)
		m.count--
	}
	m.changes.Add(1)
	return len(names) > 0
}

// each calls fn for all marks. The caller holds changing.
func (m *marks) each(fn func(markRecord) error) error {
	for name, s := range m.sites {
		if s.all != (mark{}) {
			if err := fn(markRecord{name, target{kind: PurgeEverything}, s.all}); err != nil {
				return err
			}
		}
		for t, v := range s.values {
			if err := fn(markRecord{name, t, v}); err != nil {
				return err
			}
		}
	}
	return nil
}

// restore takes a mark that is on the disk. It is called before all else.
func (m *marks) restore(r *markRecord) {
	m.set(r)
	m.saved.Store(m.latest.Load())
}

// standing is what purges say of a stored response. The caller may hold its shard.
func (m *marks) standing(key string, r *response) standing {
	now := m.changes.Load()
	if r.checked.Load() == now {
		return standing{}
	}
	s := m.judge(key, r.tags, r.asOf)
	if s == (standing{}) {
		r.checked.Store(now)
	}
	return s
}

// outdates reports whether what a flight brings is not for those who ask from now on. The
// caller holds its shard.
func (m *marks) outdates(f *flight) bool {
	select {
	case <-f.ready:
		return f.object != nil && m.standing(f.key, f.object.response.Load()) != (standing{})
	default:
	}
	return f.asOf < m.latest.Load() && (m.tagged(f.key, f.asOf) || m.judge(f.key, nil, f.asOf) != (standing{}))
}

// tagged reports whether any tag was purged since then that responses for a key may have.
func (m *marks) tagged(key string, asOf int64) bool {
	site, _, _ := strings.Cut(key, " ")
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, name := range [...]string{site, ""} {
		if s := m.sites[name]; s != nil && s.newest[PurgeTag] > asOf {
			return true
		}
	}
	return false
}

// judge says what the marks say of what has a key and tags and was asked for when that
// was the latest sequence.
func (m *marks) judge(key string, tags []hash, asOf int64) standing {
	site, rest, _ := strings.Cut(key, " ")
	host, path, _ := strings.Cut(rest, " ")
	j := judgement{asOf: asOf}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, name := range [...]string{site, ""} {
		if s := m.sites[name]; s != nil {
			j.see(s.all)
			s.judge(&j, host, path, tags)
		}
	}
	if j.outdated {
		j.since = time.Unix(0, j.at)
	}
	return j.standing
}

// judgement gathers what marks say.
type judgement struct {
	standing
	asOf     int64
	outdated bool
	at       int64 // when it became that
}

func (j *judgement) see(m mark) {
	if m.forgotten > j.asOf {
		j.gone = true
	}
	if m.outdated > j.asOf && (!j.outdated || m.at < j.at) {
		j.outdated, j.at = true, m.at
	}
}

// judge looks at the marks that may concern what has such an address and tags.
func (s *siteMarks) judge(j *judgement, host, path string, tags []hash) {
	if s.newest[PurgeTag] > j.asOf {
		for _, tag := range tags {
			j.see(s.values[target{PurgeTag, tag}])
		}
	}
	if max(s.newest[PurgeHost], s.newest[PurgePrefix], s.newest[PurgeURL]) <= j.asOf {
		return
	}
	begin := emptyHash.folded(hostname(host))
	j.see(s.values[target{PurgeHost, begin}])
	places := 0
	whole := begin.address(path, func(end hash) {
		if places++; places <= mostDepth {
			j.see(s.values[target{PurgePrefix, end}])
		}
	})
	j.see(s.values[target{PurgeURL, whole}])
}

// key is what the disk has a mark by.
func (r *markRecord) key() []byte {
	key := binary.BigEndian.AppendUint64([]byte{byte(r.kind)}, uint64(r.hash))
	return append(key, r.site...)
}

// encode is what the disk has of a mark, its sum last.
func (r *markRecord) encode() []byte {
	var data []byte
	for _, n := range [...]int64{r.outdated, r.at, r.forgotten} {
		data = binary.BigEndian.AppendUint64(data, uint64(n))
	}
	return binary.BigEndian.AppendUint32(data, crc32.Update(crc32.Checksum(r.key(), castagnoli()), castagnoli(), data))
}

// decodeMark reads a mark.
func decodeMark(key, data []byte) (*markRecord, error) {
	const size = 3 * 8
	if len(key) < 9 || len(data) != size+4 || binary.BigEndian.Uint32(data[size:]) != crc32.Update(crc32.Checksum(key, castagnoli()), castagnoli(), data[:size]) {
		return nil, errors.New("a mark of a purge is damaged")
	}
	r := &markRecord{site: string(key[9:]), target: target{PurgeKind(key[0]), hash(binary.BigEndian.Uint64(key[1:]))}}
	if r.kind < PurgeEverything || r.kind > PurgeURL {
		return nil, errors.New("a mark is of a purge of another version")
	}
	for i, n := range [...]*int64{&r.outdated, &r.at, &r.forgotten} {
		*n = int64(binary.BigEndian.Uint64(data[8*i:]))
	}
	return r, nil
}

// eachMark calls fn for all marks on the disk.
func (c *catalog) eachMark(fn func(*markRecord)) error {
	return c.view(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(marksBucket)).ForEach(func(k, v []byte) error {
			r, err := decodeMark(k, v)
			if err == nil {
				fn(r)
			}
			return err
		})
	})
}

// putMarks writes marks, durably.
func (c *catalog) putMarks(records []markRecord) error {
	return c.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(marksBucket))
		for _, r := range records {
			if err := b.Put(r.key(), r.encode()); err != nil {
				return err
			}
		}
		return nil
	})
}

// rewriteMarks writes all marks and no others, durably. The caller holds changing.
func (c *catalog) rewriteMarks(m *marks) error {
	return c.update(func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket([]byte(marksBucket)); err != nil {
			return err
		}
		b, err := tx.CreateBucket([]byte(marksBucket))
		if err != nil {
			return err
		}
		return m.each(func(r markRecord) error { return b.Put(r.key(), r.encode()) })
	})
}
