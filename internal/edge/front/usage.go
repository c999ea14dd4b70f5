package front

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/file"
	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/bus"
)

const (
	spoolName = "usage.json"
	// Usage is written down and handed over at times within this. With usageTimeout, it is
	// written down every ten seconds also while control nodes do not answer.
	usageEvery     = 5 * time.Second
	usageEveryMost = 7 * time.Second
	usageTimeout   = 3 * time.Second
	// While control nodes do not take it, they are asked less often; when they do again,
	// what has gathered comes bit by bit, not from all edges at once.
	usageAgain     = 10 * time.Second
	usageAgainMost = 30 * time.Second
	usageNext      = 500 * time.Millisecond
	usageNextMost  = 1500 * time.Millisecond
	usageLast      = 2 * time.Second // at the end
	// mostDays is how many days are kept while control nodes are away. Then the oldest
	// goes.
	mostDays = 400
	// batchBytes is how large a batch is at most, about; perTenant is what is beside the
	// name of one.
	batchBytes = 512 << 10
	perTenant  = 24
)

// spool is the usage that control nodes have not counted yet, in one small file that is
// written whole: it is a line a tenant and day, and mostly of one day. It is of one
// goroutine. A kill loses what was served in the last ten seconds, and counts nothing
// twice: what is handed over is written down before, with its number, and is handed over
// as it is until a control node says that it has it.
type spool struct {
	path string
	node string
	log  *slog.Logger
	kept kept
	// unwritten says that the file is not what is kept. Nothing is handed over then.
	unwritten bool
	again     time.Time // when control nodes are asked again
	failing   bool      // to be written, and that was logged
	refused   bool      // by control nodes, and that was logged

	waiting atomic.Int64 // bytes that are kept
	dropped atomic.Int64 // bytes of days that were too many
}

// kept is the file.
type kept struct {
	Number int64                       `json:"number"`          // of the last batch
	Batch  *edge.Usage                 `json:"batch,omitempty"` // that is handed over now
	Days   map[string]map[string]int64 `json:"days"`            // bytes by tenant, beside it
}

// open reads what a former run has left. What cannot be understood is put aside.
func (s *spool) open() error {
	data, err := os.ReadFile(s.path)
	if err == nil {
		var k kept
		if err = json.Unmarshal(data, &k); err == nil {
			s.kept = k
		} else {
			s.log.Error("usage that was not handed over cannot be read; it is put aside", "file", s.path+".bad", "error", err)
			err = os.Rename(s.path, s.path+".bad")
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.count()
	return nil
}

// add adds what was served to a day.
func (s *spool) add(bytes map[string]int64, now time.Time) {
	if len(bytes) == 0 {
		return
	}
	if s.kept.Days == nil {
		s.kept.Days = make(map[string]map[string]int64)
	}
	name := now.UTC().Format(time.DateOnly)
	day := s.kept.Days[name]
	if day == nil {
		day = make(map[string]int64, len(bytes))
		s.kept.Days[name] = day
	}
	for tenant, n := range bytes {
		day[tenant] += n
	}
	for len(s.kept.Days) > mostDays {
		oldest := slices.Min(slices.Collect(maps.Keys(s.kept.Days)))
		lost := total(s.kept.Days[oldest])
		s.dropped.Add(lost)
		s.log.Error("usage that no control node has taken is too old and is dropped", "day", oldest, "bytes", lost)
		delete(s.kept.Days, oldest)
	}
	s.unwritten = true
	s.count()
}

// cut makes a batch of the oldest day, unless there is one. Its number is larger than that
// of any former one, even where the file was lost.
func (s *spool) cut(now time.Time) {
	if s.kept.Batch != nil || len(s.kept.Days) == 0 {
		return
	}
	name := slices.Min(slices.Collect(maps.Keys(s.kept.Days)))
	day := s.kept.Days[name]
	s.kept.Number = max(s.kept.Number+1, now.UnixMilli())
	s.kept.Batch = &edge.Usage{Node: s.node, Number: s.kept.Number, Day: name, Bytes: make(map[string]int64)}
	size := 0
	for _, tenant := range slices.Sorted(maps.Keys(day)) {
		if size += perTenant + len(tenant); size > batchBytes && len(s.kept.Batch.Bytes) > 0 {
			break
		}
		s.kept.Batch.Bytes[tenant] = day[tenant]
		delete(day, tenant)
	}
	if len(day) == 0 {
		delete(s.kept.Days, name)
	}
	s.unwritten = true
}

// write writes the file if it is not what is kept.
func (s *spool) write() error {
	if !s.unwritten {
		return nil
	}
	data, err := json.Marshal(s.kept)
	if err == nil {
		err = file.WriteWhole(s.path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write down usage: %w", err)
	}
	s.unwritten = false
	return nil
}

// counted says that the batch was counted.
func (s *spool) counted() {
	s.kept.Batch = nil
	s.unwritten = true
	s.count()
}

func (s *spool) count() {
	n := int64(0)
	if s.kept.Batch != nil {
		n = total(s.kept.Batch.Bytes)
	}
	for _, day := range s.kept.Days {
		n += total(day)
	}
	s.waiting.Store(n)
}

func total(bytes map[string]int64) (n int64) {
	for _, of := range bytes {
		n += of
	}
	return n
}

// handOver writes usage down and hands it over, until ctx ends; then once more.
func (f *Front) handOver(ctx context.Context) {
	for wait := between(usageNext, usageNextMost); pause(ctx, wait); {
		wait = f.handOverOnce(ctx, usageTimeout)
	}
	f.spool.again = time.Time{}
	f.handOverOnce(context.WithoutCancel(ctx), usageLast)
	if err := f.spool.write(); err != nil {
		f.deps.Log.Error("usage is not written down", "error", err)
	}
}

// handOverOnce writes usage down and hands over a batch, if there is one and it is time.
// It says when to go on.
func (f *Front) handOverOnce(ctx context.Context, timeout time.Duration) time.Duration {
	s := f.spool
	s.add(f.tally.takeTenants(), time.Now())
	s.cut(time.Now())
	regular := between(usageEvery, usageEveryMost)
	if err := s.write(); err != nil {
		if !s.failing {
			f.deps.Log.Error("usage cannot be written down; it is kept in memory, and tried again", "error", err)
		}
		s.failing = true
		return regular
	}
	s.failing = false
	if s.kept.Batch == nil || time.Now().Before(s.again) {
		return regular
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := f.deps.Bus.Request(ctx, bus.From(edge.SubjectUsage, f.deps.Node), s.kept.Batch, nil); err != nil {
		if code := fault.CodeOf(err); code != fault.Unavailable && code != fault.Canceled && !s.refused {
			f.deps.Log.Error("control nodes do not take usage; it is kept, and handed over again", "day", s.kept.Batch.Day, "error", err)
			s.refused = true
		}
		s.again = time.Now().Add(between(usageAgain, usageAgainMost))
		return regular
	}
	s.refused = false
	s.counted()
	if len(s.kept.Days) > 0 {
		return between(usageNext, usageNextMost)
	}
	return regular
}
