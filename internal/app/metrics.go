package app

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"liuyun/internal/kit/store"
)

// countEvery is how old the counts of jobs may be that are told.
const countEvery = 2 * time.Second

// addMetrics tells, besides what the parts count themselves, what an operator wants
// to be woken by: room, jobs, and parts that cannot work.
func (n *serving) addMetrics(c *control) {
	c.metrics.Func("liuyun_disk_free_bytes", "Room on the disk of the data folder.", func() float64 {
		var s unix.Statfs_t
		if unix.Statfs(n.data.Path(), &s) != nil {
			return 0
		}
		return float64(s.Bavail) * float64(s.Bsize)
	})
	c.metrics.Func("liuyun_parts_waiting_count", "Parts of this node that cannot work now; /readyz names them.", func() float64 {
		return float64(len(n.group.Waiting()))
	})
	c.streams.Measure(c.metrics)
	jobs := &jobCounts{count: func(ctx context.Context) (counts [3]int64, err error) {
		err = c.db.Read(ctx, func(tx *store.Tx) (err error) {
			counts[0], counts[1], counts[2], err = c.jobs.Counts(tx)
			return err
		})
		return counts, err
	}}
	for i, metric := range []struct{ name, help string }{
		{"liuyun_jobs_ready_count", "Jobs of the cloud that wait for a worker."},
		{"liuyun_jobs_held_count", "Jobs of the cloud that wait for a time, for room or for other jobs."},
		{"liuyun_jobs_running_count", "Jobs of the cloud that run."},
	} {
		c.metrics.Func(metric.name, metric.help, func() float64 { return float64(jobs.get()[i]) })
	}
}

// jobCounts asks the records once for several metrics.
type jobCounts struct {
	count func(context.Context) ([3]int64, error)

	mu    sync.Mutex
	known [3]int64
	at    time.Time
}

// get returns the counts; the last known ones while the records do not answer.
func (j *jobCounts) get() [3]int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if time.Since(j.at) < countEvery {
		return j.known
	}
	ctx, cancel := context.WithTimeout(context.Background(), countEvery)
	defer cancel()
	if counts, err := j.count(ctx); err == nil {
		j.known = counts
	}
	j.at = time.Now()
	return j.known
}
