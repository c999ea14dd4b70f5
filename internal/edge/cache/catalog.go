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
}

// entryRecord is an object as the catalog has it.
type entryRecord struct {
	hash   uint64 // of its key
	weight int64
	data   []byte
}

// The buckets: ids → records, and ids → hash and weight, which with the marks of purges
// are all that is read when a process starts.
const (
	recordsBucket = "records"
	weightsBucket = "weights"
	marksBucket   = "marks"
)

// mostPending bounds what waits to be written. What comes while there is more is not
// kept for a later process.
const mostPending = 32 << 20

// writeEvery is how often changes are written.
const writeEvery = 250 * time.Millisecond

// openCatalog opens the catalog at path, or makes one, and calls fn for all objects in
// it, the oldest first, and purged for all marks. One that cannot be read is made anew: all that is lost is fetched
// again. Then they have been called for nothing, or for some that are no more.
func openCatalog(path string, log *slog.Logger, fn func(id, hash uint64, weight int64), purged func(*markRecord)) (c *catalog, complete bool, err error) {
	c = &catalog{log: log, pending: make(map[uint64]*entryRecord), wake: make(chan struct{}, 1)}
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
		return errors.Join(a, b, c)
	})
	if err != nil {
		_ = db.Close() // it is of no use
		return nil, err
	}
	return db, nil
}

// each calls fn for all objects, the oldest first.
func (c *catalog) each(fn func(id, hash uint64, weight int64)) error {
	return c.view(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(weightsBucket)).ForEach(func(k, v []byte) error {
			if len(k) == 8 && len(v) == 16 {
				fn(binary.BigEndian.Uint64(k), binary.BigEndian.Uint64(v), int64(binary.BigEndian.Uint64(v[8:])))
			}
			return nil
		})
	})
}

// put has an object written soon.
func (c *catalog) put(id, hash uint64, weight int64, data []byte) {
	c.change(id, &entryRecord{hash, weight, data})
}

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
			size := binary.BigEndian.AppendUint64(nil, r.hash)
			size = binary.BigEndian.AppendUint64(size, uint64(r.weight))
			if err := errors.Join(records.Put(key, r.data), weights.Put(key, size)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.log.Warn("the catalog of the cache is not written: what has come lately is not there after a restart", "cause", err)
		c.removeLater(changes)
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
