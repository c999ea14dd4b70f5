package job

import (
	"context"
	"encoding/json"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/store"
)

type endRequest struct {
	Node   string          `json:"node"`
	Lease  held            `json:"lease"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *Failure        `json:"error,omitempty"` // nil: done
}

type endAnswer struct{}

// endJob ends an attempt. An end by one that does not hold the job is refused; when
// the job was canceled, it says that its worker has stopped.
func (q *Queue) endJob(ctx context.Context, in endRequest) (out endAnswer, err error) {
	err = q.db.Write(ctx, func(tx *store.Tx) error {
		j, ok, err := q.leased(tx, in.Node, in.Lease)
		if err != nil {
			return err
		}
		if !ok {
			_, err := tx.Exec(`UPDATE jobs SET lease = 0 WHERE id = ? AND state <> 'running' AND attempt = ? AND node = ?`,
				in.Lease.Job, in.Lease.Attempt, in.Node)
			if err != nil {
				return err
			}
			tx.AfterCommit(func() {
				q.log.Info("job: a late end is ignored", "job", in.Lease.Job, "attempt", in.Lease.Attempt, "node", in.Node)
			})
			return nil
		}
		j.Progress, j.Phase = in.Lease.Progress, in.Lease.Phase
		if in.Error == nil {
			return q.finish(tx, j, Done, string(in.Result), nil, `0`)
		}
		return q.failed(tx, j, *in.Error)
	})
	return out, err
}

// failed ends an attempt that came to an error: for good, or until a later try.
func (q *Queue) failed(tx *store.Tx, j Job, f Failure) error {
	if f.Code == "" { // of a worker that is not what we think
		f.Code = fault.Internal
	}
	switch f.Code {
	case fault.StorageFull:
		return q.postpone(tx, j, &f, HoldStorage, q.timing.hold, `tries`)
	case fault.Canceled: // the worker is being stopped; nothing is wrong with the job
		return q.postpone(tx, j, nil, "", 0, `tries`)
	case fault.Unavailable, fault.Internal:
	default:
		return q.finish(tx, j, Failed, "", &f, `0`)
	}
	var tries int
	if err := tx.QueryRow(`SELECT tries FROM jobs WHERE id = ?`, j.ID).Scan(&tries); err != nil {
		return err
	}
	if tries+1 >= maxTries {
		return q.finish(tx, j, Failed, "", &f, `0`)
	}
	return q.postpone(tx, j, &f, "", q.timing.backOff[tries], `tries + 1`)
}

// postpone puts a job back. tries is an SQL expression.
func (q *Queue) postpone(tx *store.Tx, j Job, f *Failure, hold string, wait time.Duration, tries string) error {
	var code, message string
	if f != nil {
		code, message = string(f.Code), f.Message
	}
	ready, notBefore := notReady, store.Time(time.Now().Add(wait))
	if wait == 0 {
		ready, notBefore = readyFirst, 0
		tx.AfterCommit(q.nudge)
	}
	_, err := tx.Exec(`UPDATE jobs SET state = 'waiting', hold = ?, ready = ?, not_before = ?, lease = 0, error_code = ?, error_message = ?,
		tries = `+tries+` WHERE id = ?`, hold, ready, notBefore, code, message, j.ID)
	return err
}

type releaseRequest struct {
	Node string `json:"node"`
}

// release gives back what a worker held that has started anew and knows nothing of
// it. What ended the process may have been the job, so it counts as lost.
func (q *Queue) release(ctx context.Context, in releaseRequest) (out endAnswer, err error) {
	return out, q.db.Write(ctx, func(tx *store.Tx) error {
		return q.lose(tx, `lease > 0 AND node = ?`, in.Node)
	})
}

// lose takes jobs from workers that are gone. A canceled one is now stopped.
func (q *Queue) lose(tx *store.Tx, where string, args ...any) error {
	jobs, err := q.query(tx, where, args...)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if j.State != Running {
			if _, err := tx.Exec(`UPDATE jobs SET lease = 0 WHERE id = ?`, j.ID); err != nil {
				return err
			}
			continue
		}
		var lost int
		if err := tx.QueryRow(`SELECT lost FROM jobs WHERE id = ?`, j.ID).Scan(&lost); err != nil {
			return err
		}
		if lost+1 >= maxLost {
			if err := q.finish(tx, j, Failed, "", &Failure{fault.Unavailable,
				"its worker was lost five times while nothing came of it, the last was " + j.Node + ": look at that node's log, then retry"}, `0`); err != nil {
				return err
			}
			continue
		}
		if _, err := tx.Exec(`UPDATE jobs SET state = 'waiting', ready = 1, lease = 0, lost = lost + 1 WHERE id = ?`, j.ID); err != nil {
			return err
		}
		tx.AfterCommit(func() { q.log.Warn("job: its worker was lost", "job", j.ID, "node", j.Node, "attempt", j.Attempt) })
		tx.AfterCommit(q.nudge)
	}
	return nil
}

// sweepUntil looks for leases that ended, jobs whose moment has come and records
// that are old. Leases that ended while no queue ran get one more term: their
// workers could not renew them.
func (q *Queue) sweepUntil(ctx context.Context) {
	grace := time.Now().Add(q.timing.lease)
	var cleaned, complained time.Time
	ticker := time.NewTicker(q.timing.sweep)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		if err := q.sweep(ctx, now, now.After(grace)); err != nil && ctx.Err() == nil && now.Sub(complained) >= q.timing.keepTime {
			complained = now // a disk may stay full for hours
			q.log.Error("job: sweep", "error", err)
		}
		if now.Sub(cleaned) < q.timing.keepTime {
			continue
		}
		cleaned = now
		if err := q.clean(ctx, now); err != nil && ctx.Err() == nil {
			q.log.Error("job: clean", "error", err)
		}
	}
}

func (q *Queue) sweep(ctx context.Context, now time.Time, leases bool) error {
	at := store.Time(now)
	var due, late int
	if err := q.db.Read(ctx, func(tx *store.Tx) error {
		if err := tx.QueryRow(`SELECT count(*) FROM jobs WHERE state = 'waiting' AND ready = 0 AND not_before <= ?`, at).Scan(&due); err != nil {
			return err
		}
		return tx.QueryRow(`SELECT count(*) FROM jobs WHERE lease > 0 AND lease < ?`, at).Scan(&late)
	}); err != nil || due == 0 && (late == 0 || !leases) {
		return err
	}
	return q.db.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`UPDATE jobs SET ready = CASE WHEN hold = '' THEN 1 ELSE 2 END WHERE state = 'waiting' AND ready = 0 AND not_before <= ?`, at)
		if err != nil {
			return err
		}
		if n > 0 {
			tx.AfterCommit(q.nudge)
		}
		if !leases {
			return nil
		}
		return q.lose(tx, `lease > 0 AND lease < ?`, at)
	})
}

// clean removes jobs that ended long ago, but the last of each group that has no
// parent, at most 1,000 at a time. Those last ones are many, and are looked through
// each time: nobody who writes waits for that.
func (q *Queue) clean(ctx context.Context, now time.Time) error {
	var old []string
	err := q.db.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT j.id FROM jobs j WHERE j.ended > 0 AND j.ended < ? AND j.lease = 0
			AND (j.parent <> '' OR j.grp = '' OR EXISTS (SELECT 1 FROM jobs n WHERE n.grp = j.grp AND n.tenant = j.tenant AND n.parent = '' AND n.id > j.id))
			LIMIT 1000`, store.Time(now.Add(-q.timing.keep)))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			old = append(old, id)
		}
		return rows.Err()
	})
	if err != nil || len(old) == 0 {
		return err
	}
	return q.db.Write(ctx, func(tx *store.Tx) error {
		for _, id := range old {
			if _, err := tx.Exec(`DELETE FROM jobs WHERE id = ?`, id); err != nil {
				return err
			}
		}
		return nil
	})
}
