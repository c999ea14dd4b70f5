package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/store"
)

// mostAlso bounds the questions of one worker.
const mostAlso = 8

// takeBytes bounds what one answer carries, so that it fits into a message.
const takeBytes = 512 << 10

type takeRequest struct {
	Node  string         `json:"node"`
	Class string         `json:"class"`
	Also  []string       `json:"also,omitempty"` // more classes
	Free  map[string]int `json:"free"`           // slots a kind
	Full  bool           `json:"full"`           // no room on the worker's disk
}

type takeAnswer struct {
	Jobs []Job `json:"jobs"`
}

// take gives a worker jobs for its free slots. It only writes when there are some.
func (q *Queue) take(ctx context.Context, in takeRequest) (out takeAnswer, err error) {
	any := false
	err = q.db.Read(ctx, func(tx *store.Tx) error {
		for kind := range in.Free {
			found, err := q.choose(tx, in, kind)
			if err != nil || found != "" {
				any = found != ""
				return err
			}
		}
		return nil
	})
	if err != nil || !any {
		return takeAnswer{}, err
	}
	var stuck *startError
	err = q.db.Write(ctx, func(tx *store.Tx) error {
		out.Jobs = nil
		size := 0
		for kind, free := range in.Free {
			for range free {
				if size > takeBytes {
					return nil
				}
				id, err := q.choose(tx, in, kind)
				if err != nil {
					return err
				}
				if id == "" {
					break
				}
				j, err := q.give(tx, id, in.Node)
				if err != nil {
					return err
				}
				size += len(j.Payload)
				out.Jobs = append(out.Jobs, j)
			}
		}
		return nil
	})
	if errors.As(err, &stuck) {
		return takeAnswer{}, q.putOff(ctx, stuck)
	}
	return out, err
}

// startError is what a hook of OnStart came to.
type startError struct {
	job string
	err error
}

func (e *startError) Error() string { return fmt.Sprintf("start of job %s: %v", e.job, e.err) }
func (e *startError) Unwrap() error { return e.err }

// putOff counts a start that failed as a try of the job, so that those behind it
// are not held up.
func (q *Queue) putOff(ctx context.Context, e *startError) error {
	q.log.Error("job: not started", "job", e.job, "error", e.err)
	return q.db.Write(ctx, func(tx *store.Tx) error {
		j, err := q.Get(tx, e.job)
		if err != nil || j.State != Waiting {
			return err
		}
		return q.failed(tx, j, Failure{fault.CodeOf(e.err), fault.Message(e.err)})
	})
}

// give marks the job as taken.
func (q *Queue) give(tx *store.Tx, id, node string) (Job, error) {
	now := time.Now()
	if _, err := tx.Exec(`UPDATE jobs SET state = 'running', ready = 0, attempt = attempt + 1, node = ?, started = ?, lease = ?, hold = ''
		WHERE id = ?`, node, store.Time(now), store.Time(now.Add(q.timing.lease)), id); err != nil {
		return Job{}, err
	}
	j, err := q.Get(tx, id)
	if err != nil {
		return Job{}, err
	}
	if hook := q.start[j.Kind]; hook != nil {
		if err := hook(tx, j); err != nil {
			return Job{}, &startError{id, err}
		}
	}
	return j, nil
}

// tenants walks the index from tenant to tenant, however many jobs each has.
func tenants(g gate) string {
	return `WITH RECURSIVE t (tenant) AS (
	SELECT min(tenant) FROM jobs WHERE ready > 0 AND kind = ? AND ready = ? AND class = ?` + g.condition("") + `
	UNION ALL
	SELECT (SELECT min(j.tenant) FROM jobs j WHERE j.ready > 0 AND j.kind = ? AND j.ready = ? AND j.class = ? AND j.tenant > t.tenant` + g.condition("j.") + `)
	FROM t WHERE t.tenant IS NOT NULL
)
SELECT t.tenant, (SELECT count(*) FROM jobs r WHERE r.state = 'running' AND r.kind = ? AND r.tenant = t.tenant)
FROM t WHERE t.tenant IS NOT NULL`
}

// first finds the next job of one tenant.
func first(g gate) string {
	return `SELECT id, priority, group_created, cost, created FROM jobs
	WHERE ready > 0 AND kind = ? AND ready = ? AND class = ? AND tenant = ?` + g.condition("") + `
	ORDER BY priority DESC, group_created, cost DESC, created, id LIMIT 1`
}

// candidate is the next job of a tenant.
type candidate struct {
	id                          string
	running                     int
	priority                    int64
	groupCreated, cost, created int64
}

func (c candidate) before(o candidate) bool {
	switch {
	case c.running != o.running:
		return c.running < o.running
	case c.priority != o.priority:
		return c.priority > o.priority
	case c.groupCreated != o.groupCreated:
		return c.groupCreated < o.groupCreated
	case c.cost != o.cost:
		return c.cost > o.cost
	case c.created != o.created:
		return c.created < o.created
	}
	return c.id < o.id
}

// choose returns the job of the kind that is next for this worker, or "": the
// tenant that has the fewest running comes first, then priority, then the group
// that was begun first, then its costliest job, so that no worker waits long for
// another in the end, then the job that was added first. What is better left to
// another worker is passed over, see [Place].
func (q *Queue) choose(tx *store.Tx, in takeRequest, kind string) (string, error) {
	readies := []int{readyFirst, readyHeld}
	if in.Full {
		readies = readies[:1]
	}
	classes := []string{""}
	if in.Class != "" {
		classes = append(classes, in.Class)
	}
	classes = append(classes, in.Also[:min(len(in.Also), mostAlso)]...)
	var best candidate
	now := time.Now()
	for _, class := range classes {
		g := q.gateFor(in.Node, class, now)
		for _, ready := range readies {
			found, err := q.chooseAmong(tx, kind, ready, class, g)
			if err != nil {
				return "", err
			}
			if found.id != "" && (best.id == "" || found.before(best)) {
				best = found
			}
		}
	}
	return best.id, nil
}

func (q *Queue) chooseAmong(tx *store.Tx, kind string, ready int, class string, g gate) (best candidate, err error) {
	passes := g.args()
	rows, err := tx.Query(tenants(g), slices.Concat([]any{kind, ready, class}, passes, []any{kind, ready, class}, passes, []any{kind})...)
	if err != nil {
		return best, err
	}
	defer rows.Close()
	fewest := -1
	var among []string
	for rows.Next() {
		var tenant string
		var running int
		if err := rows.Scan(&tenant, &running); err != nil {
			return best, err
		}
		if fewest < 0 || running < fewest {
			fewest, among = running, among[:0]
		}
		if running == fewest {
			among = append(among, tenant)
		}
	}
	if err := rows.Err(); err != nil {
		return best, err
	}
	for _, tenant := range among {
		c := candidate{running: fewest}
		if err := tx.QueryRow(first(g), slices.Concat([]any{kind, ready, class, tenant}, passes)...).Scan(&c.id, &c.priority, &c.groupCreated, &c.cost, &c.created); err != nil {
			return best, err
		}
		if best.id == "" || c.before(best) {
			best = c
		}
	}
	return best, nil
}

// held names a lease: a job and which attempt at it.
type held struct {
	Job      string  `json:"job"`
	Attempt  int     `json:"attempt"`
	Progress float64 `json:"progress,omitempty"`
	Phase    string  `json:"phase,omitempty"`
}

type renewRequest struct {
	Node   string `json:"node"`
	Leases []held `json:"leases"`
}

type renewAnswer struct {
	Lost []string `json:"lost"` // jobs whose lease the worker has no more
}

// renew prolongs the leases of a worker and notes its progress.
func (q *Queue) renew(ctx context.Context, in renewRequest) (out renewAnswer, err error) {
	until := store.Time(time.Now().Add(q.timing.lease))
	err = q.db.Write(ctx, func(tx *store.Tx) error {
		out.Lost = nil
		for _, l := range in.Leases {
			n, err := tx.Exec(`UPDATE jobs SET lease = ?, progress = ?, phase = ? WHERE id = ? AND state = 'running' AND attempt = ? AND node = ?`,
				until, l.Progress, l.Phase, l.Job, l.Attempt, in.Node)
			if err != nil {
				return err
			}
			if n == 0 {
				out.Lost = append(out.Lost, l.Job)
			}
		}
		return nil
	})
	return out, err
}

// leased returns the job when the node holds it with this attempt.
func (q *Queue) leased(tx *store.Tx, node string, l held) (j Job, ok bool, err error) {
	j, err = q.Get(tx, l.Job)
	if fault.CodeOf(err) == fault.NotFound {
		return j, false, nil
	}
	return j, err == nil && j.State == Running && j.Attempt == l.Attempt && j.Node == node, err
}

type submitRequest struct {
	Node  string `json:"node"`
	Lease held   `json:"lease"`
	Specs []Spec `json:"specs"`
}

type submitAnswer struct {
	IDs []string `json:"ids"`
}

// submit adds children of a running job.
func (q *Queue) submit(ctx context.Context, in submitRequest) (out submitAnswer, err error) {
	err = q.db.Write(ctx, func(tx *store.Tx) error {
		parent, ok, err := q.leased(tx, in.Node, in.Lease)
		if err != nil {
			return err
		}
		if !ok {
			return errLost
		}
		for i := range in.Specs {
			s := &in.Specs[i]
			s.Parent, s.Tenant, s.Group = parent.ID, parent.Tenant, parent.Group
		}
		out.IDs, err = q.Add(tx, in.Specs...)
		return err
	})
	return out, err
}

// errLost answers a worker that has no more to say about a job.
var errLost = fault.New(fault.Conflict, "another worker has the job now, or it was canceled")

type lookRequest struct {
	IDs []string `json:"ids"`
}

type lookAnswer struct {
	Jobs []Job `json:"jobs"` // those that have ended; what is gone counts as canceled
}

// look tells which jobs have ended.
func (q *Queue) look(ctx context.Context, in lookRequest) (out lookAnswer, err error) {
	err = q.db.Read(ctx, func(tx *store.Tx) error {
		size := 0
		for _, id := range in.IDs {
			j, err := q.Get(tx, id)
			if fault.CodeOf(err) == fault.NotFound {
				j, err = Job{ID: id, State: Canceled}, nil
			}
			if err != nil {
				return err
			}
			if !j.State.Ended() {
				continue
			}
			if size += len(j.Result); size > takeBytes && len(out.Jobs) > 0 {
				return nil // the others at the next look
			}
			j.Payload = nil
			out.Jobs = append(out.Jobs, j)
		}
		return nil
	})
	return out, err
}
