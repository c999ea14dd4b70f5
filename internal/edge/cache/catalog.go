package cache

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// catalog is what a later process has to know of the objects on the disk. What changes is
// written by a goroutine of its own, many at once; what a kill loses of it is fetched
// again.
type catalog struct {
	db  *bbolt.DB
	log *slog.Logger

	writing sync.Mutex // held while pending is written
	mu      sync.Mutex
	pending map[uint64]*entryRecord // by id; nil: it is to be deleted
	bytes   int                     // of pending
	wake    chan struct{}

	owners *owners
	named  map[owner]bool // those whose names are written; writing guards it
}

// entryRecord is an object as the catalog has it.
type entryRecord struct {
	about
	data []byte
}

// about is what is known of an object without its record.
type about struct {
	hash   uint64 // of its key
	weight int64
	owner  owner
}

// The buckets: ids → records; ids → what is about them; numbers of owners → names; and the
// marks of purges. All but the records are read when a process starts.
const (
	recordsBucket = "records"
	weightsBucket = "weights"
	ownersBucket  = "owners"
	marksBucket   = "marks"
)

// encode is what the bucket has. Before owners were known it ended with the weight.
func (a about) encode() []byte {
	data := binary.BigEndian.AppendUint64(nil, a.hash)
	data = binary.BigEndian.AppendUint64(data, uint64(a.weight))
	if a.owner != nobody {
		data = binary.BigEndian.AppendUint32(data, uint32(a.owner))
	}
	return data
}

// decodeAbout reads that. ok is false where it is none.
func decodeAbout(data []byte) (a about, ok bool) {
	if len(data) != 16 && len(data) != 20 {
		return a, false
	}
	a.hash, a.weight = binary.BigEndian.Uint64(data), int64(binary.BigEndian.Uint64(data[8:]))
	if len(data) == 20 {
		a.owner = owner(binary.BigEndian.Uint32(data[16:]))
	}
	return a, a.owner != everybody && a.weight >= 0
}

// mostPending bounds what waits to be written. What comes while there is more is not
// kept for a later process.
const mostPending = 32 << 20

// writeEvery is how often changes are written.
const writeEvery = 250 * time.Millisecond

// openCatalog opens the catalog at path, or makes one, and calls fn for all objects in
// it, the oldest first, and purged for all marks. One that cannot be read is made anew: all
// that is lost is fetched again. Then they have been called for nothing, or for some that
// are no more.
func openCatalog(path string, log *slog.Logger, owners *owners, fn func(id uint64, a about), purged func(*markRecord)) (c *catalog, complete bool, err error) {
	c = &catalog{log: log, pending: make(map[uint64]*entryRecord), wake: make(chan struct{}, 1), owners: owners, named: make(map[owner]bool)}
	if c.db, err = openDB(path); err == nil {
		if err = errors.Join(c.each(fn), c.eachMark(purged)); err == nil {
			return c, true, nil
		}
		_ = c.db.Close() // it is of no use
	}
	log.Warn("the catalog of the cache cannot be read: the cache begins empty", "cause", err)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, false, fmt.Errorf("remove the damaged catalog: %w", err)
	}
	c.named = make(map[owner]bool)
	c.db, err = openDB(path)
	return c, false, err
}

// openDB opens the file. A damaged one makes bbolt panic.
func openDB(path string) (db *bbolt.DB, err error) {
	defer recovered(&err)
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, a := tx.CreateBucketIfNotExists([]byte(recordsBucket))
		_, b := tx.CreateBucketIfNotExists([]byte(weightsBucket))
		_, c := tx.CreateBucketIfNotExists([]byte(marksBucket))
		_, d := tx.CreateBucketIfNotExists([]byte(ownersBucket))
		return errors.Join(a, b, c, d)
	})
	if err != nil {
		_ = db.Close() // it is of no use
		return nil, err
	}
	return db, nil
}

// each calls fn for all objects, the oldest first, and forgets owners that have none.
func (c *catalog) each(fn func(id uint64, a about)) error {
	used := make(map[owner]bool)
	err := c.view(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(weightsBucket)).ForEach(func(k, v []byte) error {
			if a, ok := decodeAbout(v); ok && len(k) == 8 {
				used[a.owner] = true
				fn(binary.BigEndian.Uint64(k), a)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return c.update(func(tx *bbolt.Tx) error {
		var without [][]byte
		bucket := tx.Bucket([]byte(ownersBucket))
		err := bucket.ForEach(func(k, v []byte) error {
			if len(k) != 4 || !used[owner(binary.BigEndian.Uint32(k))] {
				without = append(without, k)
				return nil
			}
			n := owner(binary.BigEndian.Uint32(k))
			c.owners.restore(n, string(v))
			c.named[n] = true
			return nil
		})
		for _, k := range without {
			err = errors.Join(err, bucket.Delete(k))
		}
		return err
	})
}

// put has an object written soon.
func (c *catalog) put(id uint64, a about, data []byte) { c.change(id, &entryRecord{a, data}) }

// remove has an object removed soon.
func (c *catalog) remove(id uint64) { c.change(id, nil) }

func (c *catalog) change(id uint64, r *entryRecord) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.pending[id]; old != nil {
		c.bytes -= len(old.data)
	}
	if r != nil && c.bytes+len(r.data) > mostPending {
		r = nil
	}
	if c.pending[id] = r; r != nil {
		c.bytes += len(r.data)
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// get returns what is known of an object, or nil.
func (c *catalog) get(id uint64) (data []byte, err error) {
	c.writing.Lock() // what is just being written is nowhere else
	defer c.writing.Unlock()
	c.mu.Lock()
	r, waits := c.pending[id]
	c.mu.Unlock()
	if waits {
		if r == nil {
			return nil, nil
		}
		return r.data, nil
	}
	err = c.view(func(tx *bbolt.Tx) error {
		data = append(data, tx.Bucket([]byte(recordsBucket)).Get(idKey(id))...)
		return nil
	})
	return data, err
}

// has reports whether an object is known.
func (c *catalog) has(id uint64) (known bool) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	r, waits := c.pending[id]
	c.mu.Unlock()
	if waits {
		return r != nil
	}
	err := c.view(func(tx *bbolt.Tx) error {
		known = tx.Bucket([]byte(weightsBucket)).Get(idKey(id)) != nil
		return nil
	})
	return known || err != nil
}

// run writes what changes, until ctx ends.
func (c *catalog) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		c.flush()
		select {
		case <-ctx.Done():
			return
		case <-time.After(writeEvery):
		}
	}
}

// flush writes what has changed, durably.
func (c *catalog) flush() {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	changes := c.pending
	c.pending, c.bytes = make(map[uint64]*entryRecord), 0
	c.mu.Unlock()
	if len(changes) == 0 {
		return
	}
	var named []owner
	err := c.update(func(tx *bbolt.Tx) error {
		records, weights := tx.Bucket([]byte(recordsBucket)), tx.Bucket([]byte(weightsBucket))
		for id, r := range changes {
			key := idKey(id)
			if r == nil {
				if err := errors.Join(records.Delete(key), weights.Delete(key)); err != nil {
					return err
				}
				continue
			}
			if err := errors.Join(records.Put(key, r.data), weights.Put(key, r.encode())); err != nil {
				return err
			}
			if r.owner != nobody && !c.named[r.owner] {
				named = append(named, r.owner)
				number := binary.BigEndian.AppendUint32(nil, uint32(r.owner))
				if err := tx.Bucket([]byte(ownersBucket)).Put(number, []byte(c.owners.name(r.owner))); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		c.log.Warn("the catalog of the cache is not written: what has come lately is not there after a restart", "cause", err)
		c.removeLater(changes)
		return
	}
	for _, of := range named {
		c.named[of] = true
	}
}

// removeLater has objects removed another time that could not be removed now: they must
// not come back.
func (c *catalog) removeLater(changes map[uint64]*entryRecord) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range changes {
		if _, newer := c.pending[id]; !newer {
			c.pending[id] = nil
		}
	}
}

// view reads, and update changes the database. A damaged one makes bbolt panic.
func (c *catalog) view(fn func(*bbolt.Tx) error) (err error) {
	defer recovered(&err)
	return c.db.View(fn)
}

func (c *catalog) update(fn func(*bbolt.Tx) error) (err error) {
	defer recovered(&err)
	return c.db.Update(fn)
}

func recovered(err *error) {
	if why := recover(); why != nil {
		*err = fmt.Errorf("the catalog is damaged: %v", why)
	}
}

// close writes what is left.
func (c *catalog) close() error {
	c.flush()
	return c.db.Close()
}

func idKey(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

// stored is what a record says of an object.
type stored struct {
	Key       string      `json:"key"`
	Variant   string      `json:"variant"`
	Slice     int64       `json:"slice"`
	Total     int64       `json:"total,omitempty"`
	Status    int         `json:"status"`
	Header    http.Header `json:"header"`
	Requested time.Time   `json:"requested"`
	Received  time.Time   `json:"received"`
	AsOf      int64       `json:"as_of,omitempty"` // sequence of the last purge before it was asked for
	Size      int64       `json:"size"`
	Sum       uint32      `json:"sum"` // CRC-32C of the body
	Inline    bool        `json:"inline"`
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// encodeRecord is what a record has: its sum, the length of the head, the head, and the
// body where that is small.
func encodeRecord(s *stored, body []byte) ([]byte, error) {
	head, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	data := make([]byte, 8, 8+len(head)+len(body))
	data = append(append(data, head...), body...)
	binary.BigEndian.PutUint32(data[4:], uint32(len(head)))
	binary.BigEndian.PutUint32(data, crc32.Checksum(data[4:], castagnoli()))
	return data, nil
}

// decodeRecord reads one. Disks lie: nothing is believed that its sum does not say.
func decodeRecord(data []byte) (s *stored, body []byte, err error) {
	if len(data) < 8 || binary.BigEndian.Uint32(data) != crc32.Checksum(data[4:], castagnoli()) {
		return nil, nil, errors.New("the record is damaged")
	}
	size := int64(binary.BigEndian.Uint32(data[4:]))
	if size > int64(len(data)-8) {
		return nil, nil, errors.New("the record is too short")
	}
	s = &stored{}
	if err := json.Unmarshal(data[8:8+size], s); err != nil {
		return nil, nil, fmt.Errorf("read the record: %w", err)
	}
	if body = data[8+size:]; s.Inline && (int64(len(body)) != s.Size || crc32.Checksum(body, castagnoli()) != s.Sum) {
		return nil, nil, errors.New("the body in the record is damaged")
	}
	return s, body, nil
}
