package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/store"
)

// Queue keeps the jobs. Every control node has one on the same store; they need
// no leader.
type Queue struct {
	db     *store.DB
	bus    *bus.Bus
	log    *slog.Logger
	ids    id.Maker
	timing timing
	place  Place
	start  map[string]func(*store.Tx, Job) error
	end    map[string]func(*store.Tx, Job) error
}

// timing is what tests make shorter.
type timing struct {
	lease    time.Duration    // how long a worker may be silent
	sweep    time.Duration    // between two looks for leases that ended
	hold     time.Duration    // before a job that found a disk full is tried again
	backOff  [2]time.Duration // before the second and the third try
	keep     time.Duration    // how long ended jobs are kept
	keepTime time.Duration    // between two looks for those that are older
}

const (
	maxLost  = 5 // attempts in a row that end with the loss of their worker, no child being done
	maxTries = 3 // attempts that end with an error that may pass
)

// NewQueue returns a queue on db, whose [Migrations] were taken. Hooks are set
// before Run.
func NewQueue(db *store.DB, b *bus.Bus, log *slog.Logger) *Queue {
	return &Queue{
		db: db, bus: b, log: log,
		timing: timing{
			lease: 30 * time.Second, sweep: 2 * time.Second, hold: 15 * time.Second,
			backOff: [2]time.Duration{5 * time.Second, 30 * time.Second},
			keep:    7 * 24 * time.Hour, keepTime: time.Minute,
		},
		start: make(map[string]func(*store.Tx, Job) error),
		end:   make(map[string]func(*store.Tx, Job) error),
	}
}

// OnStart has fn called in the transaction that gives a job of the kind to a
// worker. An error undoes it, and the job stays where it is.
func (q *Queue) OnStart(kind string, fn func(tx *store.Tx, j Job) error) { q.start[kind] = fn }

// OnEnd has fn called in the transaction that makes a job of the kind done, failed
// for good or canceled. An error undoes it: a worker then tries again to end the
// job for as long as it holds its lease. fn is not called for jobs that
// RemoveGroup takes away.
func (q *Queue) OnEnd(kind string, fn func(tx *store.Tx, j Job) error) { q.end[kind] = fn }

// ready tells which jobs may be taken. Only they are in the index that takes them.
const (
	notReady   = 0 // runs, has ended, or waits for a moment
	readyFirst = 1
	readyHeld  = 2 // found a disk full before; for a worker that has room
)

// Migrations makes the table of jobs.
func Migrations() store.Migrations {
	return store.Migrations{Set: "job", Steps: []store.Step{{SQL: `
CREATE TABLE jobs (
	id TEXT PRIMARY KEY,
	kind TEXT NOT NULL, tenant TEXT NOT NULL, grp TEXT NOT NULL, name TEXT NOT NULL,
	class TEXT NOT NULL, parent TEXT NOT NULL, priority BIGINT NOT NULL,
	state TEXT NOT NULL, hold TEXT NOT NULL, ready BIGINT NOT NULL,
	attempt BIGINT NOT NULL, tries BIGINT NOT NULL, lost BIGINT NOT NULL,
	payload TEXT NOT NULL, result TEXT NOT NULL, error_code TEXT NOT NULL, error_message TEXT NOT NULL,
	progress DOUBLE PRECISION NOT NULL, phase TEXT NOT NULL, node TEXT NOT NULL,
	group_created BIGINT NOT NULL, created BIGINT NOT NULL, started BIGINT NOT NULL, ended BIGINT NOT NULL,
	not_before BIGINT NOT NULL, lease BIGINT NOT NULL
);
CREATE UNIQUE INDEX jobs_present ON jobs (grp, kind, name, tenant) WHERE state IN ('waiting', 'running', 'done');
CREATE INDEX jobs_ready ON jobs (kind, ready, class, tenant, priority DESC, group_created, created, id) WHERE ready > 0;
CREATE INDEX jobs_later ON jobs (not_before) WHERE state = 'waiting' AND ready = 0;
CREATE INDEX jobs_leased ON jobs (lease) WHERE lease > 0;
CREATE INDEX jobs_running ON jobs (kind, tenant) WHERE state = 'running';
CREATE INDEX jobs_parent ON jobs (parent) WHERE parent <> '';
CREATE INDEX jobs_ended ON jobs (ended) WHERE ended > 0;
CREATE INDEX jobs_group ON jobs (grp, id);
CREATE INDEX jobs_tenant ON jobs (tenant, id);
`}, {SQL: `
CREATE INDEX jobs_state ON jobs (tenant, state, id);
DROP INDEX jobs_group;
CREATE INDEX jobs_group ON jobs (grp, tenant, state, id); -- longer than jobs_state, or planners take that for a group
`}, {SQL: `
ALTER TABLE jobs ADD COLUMN cost BIGINT NOT NULL DEFAULT 0;
DROP INDEX jobs_ready;
CREATE INDEX jobs_ready ON jobs (kind, ready, class, tenant, priority DESC, group_created, cost DESC, created, id) WHERE ready > 0;
`}, {SQL: `ALTER TABLE jobs ADD COLUMN prefer TEXT NOT NULL DEFAULT ''`}}}
}

const columns = `id, kind, tenant, grp, name, class, parent, priority, prefer, state, hold, attempt, payload, result,
	error_code, error_message, progress, phase, node, created, started, ended`

type scanner interface{ Scan(to ...any) error }

func scan(row scanner) (j Job, err error) {
	var payload, result, code, message string
	var created, started, ended int64
	err = row.Scan(&j.ID, &j.Kind, &j.Tenant, &j.Group, &j.Name, &j.Class, &j.Parent, &j.Priority, &j.Prefer, &j.State, &j.Hold, &j.Attempt,
		&payload, &result, &code, &message, &j.Progress, &j.Phase, &j.Node, &created, &started, &ended)
	j.Created, j.Started, j.Ended = store.FromTime(created), store.FromTime(started), store.FromTime(ended)
	if payload != "" {
		j.Payload = json.RawMessage(payload)
	}
	if result != "" {
		j.Result = json.RawMessage(result)
	}
	if code != "" {
		j.Error = &Failure{fault.Code(code), message}
	}
	return j, err
}

// Get returns a job; an absent one is fault.NotFound.
func (q *Queue) Get(tx *store.Tx, id string) (Job, error) {
	j, err := scan(tx.QueryRow(`SELECT `+columns+` FROM jobs WHERE id = ?`, id))
	if errors.Is(err, store.ErrNoRows) {
		return Job{}, fault.New(fault.NotFound, "there is no job %s; ended jobs are kept for seven days", id)
	}
	return j, err
}

// List returns the jobs that the filter chooses, newest first.
func (q *Queue) List(tx *store.Tx, f Filter) ([]Job, error) {
	where, args := []string{"1 = 1"}, []any(nil)
	for _, c := range []struct{ condition, value string }{
		{"tenant = ?", f.Tenant}, {"grp = ?", f.Group}, {"kind = ?", f.Kind}, {"state = ?", string(f.State)}, {"id < ?", f.After},
	} {
		if c.value != "" {
			where, args = append(where, c.condition), append(args, c.value)
		}
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	return q.query(tx, strings.Join(where, " AND ")+` ORDER BY id DESC LIMIT ?`, append(args, f.Limit)...)
}

func (q *Queue) query(tx *store.Tx, where string, args ...any) ([]Job, error) {
	rows, err := tx.Query(`SELECT `+columns+` FROM jobs WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var jobs []Job
	for rows.Next() {
		j, err := scan(rows)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, rows.Err()
}

// Add puts jobs into the queue and returns their ids, in order: for a spec whose
// like is present (see [Spec]), the id of that. A present one that has not ended
// gets the new parent.
func (q *Queue) Add(tx *store.Tx, specs ...Spec) ([]string, error) {
	ids := make([]string, 0, len(specs))
	for _, s := range specs {
		id, err := q.add(tx, s)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	tx.AfterCommit(q.nudge)
	return ids, nil
}

// nudge tells waiting workers to look. Lost, it costs them two seconds.
func (q *Queue) nudge() { _ = q.bus.Publish(SubjectAdded, struct{}{}) }

func (q *Queue) add(tx *store.Tx, s Spec) (string, error) {
	if s.Kind == "" {
		return "", errors.New("job: a spec needs a kind")
	}
	present, err := q.present(tx, s)
	if present != "" || err != nil {
		return present, err
	}
	payload, err := document(s.Payload)
	if err != nil {
		return "", err
	}
	now := store.Time(time.Now())
	groupCreated := now
	err = tx.QueryRow(`SELECT min(group_created) FROM jobs WHERE grp = ? AND tenant = ? AND state IN ('waiting', 'running') HAVING count(*) > 0`,
		s.Group, s.Tenant).Scan(&groupCreated)
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return "", err
	}
	id := q.ids.New("job")
	_, err = tx.Exec(`INSERT INTO jobs (id, kind, tenant, grp, name, class, parent, priority, cost, prefer, state, hold, ready, attempt, tries, lost,
		payload, result, error_code, error_message, progress, phase, node, group_created, created, started, ended, not_before, lease)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', '', 1, 0, 0, 0, ?, '', '', '', 0, '', '', ?, ?, 0, 0, 0, 0)`,
		id, s.Kind, s.Tenant, s.Group, s.Name, s.Class, s.Parent, s.Priority, s.Cost, string(s.Prefer), payload, groupCreated, now)
	return id, err
}

// present returns the id of the job that stands for the spec, or "".
func (q *Queue) present(tx *store.Tx, s Spec) (id string, err error) {
	var state State
	var parent string
	err = tx.QueryRow(`SELECT id, state, parent FROM jobs WHERE grp = ? AND kind = ? AND name = ? AND tenant = ?
		AND state IN ('waiting', 'running', 'done')`, s.Group, s.Kind, s.Name, s.Tenant).Scan(&id, &state, &parent)
	switch {
	case errors.Is(err, store.ErrNoRows):
		return "", nil
	case err == nil && !state.Ended() && parent != s.Parent && s.Parent != "":
		_, err = tx.Exec(`UPDATE jobs SET parent = ? WHERE id = ?`, s.Parent, id)
	}
	return id, err
}

// document makes JSON of a payload or a result.
func document(v any) (string, error) {
	if v == nil {
		return "", nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode job: %w", err)
	}
	if len(data) > MaxPayload {
		return "", fault.New(fault.Limit, "a job's document has %d bytes, at most %d: put it into an object and name that", len(data), MaxPayload)
	}
	return string(data), nil
}

// Cancel cancels a job, unless it has ended. Its worker is told at once.
func (q *Queue) Cancel(tx *store.Tx, id string) error {
	return q.cancel(tx, `id = ? AND state IN ('waiting', 'running')`, id)
}

// CancelGroup cancels every job of the group that has not ended. Workers that are
// at one are told at once; see [Queue.Busy] for when they have stopped.
func (q *Queue) CancelGroup(tx *store.Tx, tenant, group string) error {
	return q.cancel(tx, `tenant = ? AND grp = ? AND state IN ('waiting', 'running')`, tenant, group)
}

// RemoveGroup takes all jobs of a group out of the records, and with them what
// Busy knows. Workers that are still at one stop within seconds.
func (q *Queue) RemoveGroup(tx *store.Tx, group string) error {
	_, err := tx.Exec(`DELETE FROM jobs WHERE grp = ?`, group)
	return err
}

// Busy reports whether a worker may still be writing for the group: a job runs, or
// one was canceled and its worker has neither said that it stopped nor lost its
// lease.
func (q *Queue) Busy(tx *store.Tx, tenant, group string) (bool, error) {
	var n int
	err := tx.QueryRow(`SELECT count(*) FROM jobs WHERE tenant = ? AND grp = ? AND lease > 0`, tenant, group).Scan(&n)
	return n > 0, err
}

// Hold returns HoldStorage when a job of the group waits for room on a disk, else "".
func (q *Queue) Hold(tx *store.Tx, tenant, group string) (hold string, err error) {
	err = tx.QueryRow(`SELECT hold FROM jobs WHERE tenant = ? AND grp = ? AND state = 'waiting' AND hold <> '' LIMIT 1`, tenant, group).Scan(&hold)
	if errors.Is(err, store.ErrNoRows) {
		return "", nil
	}
	return hold, err
}

// cancel cancels the jobs that a condition chooses, none of which has ended, and
// their children. A running one keeps its lease until its worker has stopped.
func (q *Queue) cancel(tx *store.Tx, where string, args ...any) error {
	jobs, err := q.query(tx, where, args...)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		present, err := q.Get(tx, j.ID) // a parent before it may have canceled it
		if err != nil {
			return err
		}
		if present.State.Ended() {
			continue
		}
		if err := q.finish(tx, present, Canceled, "", nil, `lease`); err != nil {
			return err
		}
	}
	return nil
}

// finish ends a job for good, tells its hook and the world, and cancels the
// children that nobody waits for any more. lease is what becomes of the column: 0,
// or itself when a worker is still at it.
func (q *Queue) finish(tx *store.Tx, j Job, state State, result string, failure *Failure, lease string) error {
	wasRunning := j.State == Running
	var code, message string
	if failure != nil {
		code, message = string(failure.Code), failure.Message
	}
	now := time.Now()
	progress := j.Progress
	if state == Done {
		progress = 1
	}
	if _, err := tx.Exec(`UPDATE jobs SET state = ?, hold = '', ready = 0, result = ?, error_code = ?, error_message = ?, progress = ?,
		ended = ?, not_before = 0, lease = `+lease+` WHERE id = ?`, state, result, code, message, progress, store.Time(now), j.ID); err != nil {
		return err
	}
	j, err := q.Get(tx, j.ID)
	if err != nil {
		return err
	}
	if state == Done && j.Parent != "" {
		// Whatever befell the workers of its parent, the work comes on.
		if _, err := tx.Exec(`UPDATE jobs SET lost = 0 WHERE id = ? AND lost > 0`, j.Parent); err != nil {
			return err
		}
	}
	told := Ended{Job: j.ID, Group: j.Group, Tenant: j.Tenant, Kind: j.Kind, State: state}
	tx.AfterCommit(func() {
		_ = q.bus.Publish(SubjectEnded, told)
		if state == Canceled && wasRunning {
			_ = q.bus.Publish(SubjectCanceled, told)
		}
	})
	if hook := q.end[j.Kind]; hook != nil {
		if err := hook(tx, j); err != nil {
			return fmt.Errorf("end of job %s: %w", j.ID, err)
		}
	}
	switch state {
	case Canceled:
		return q.cancel(tx, `parent = ? AND state IN ('waiting', 'running')`, j.ID)
	default:
		return q.cancel(tx, `parent = ? AND state = 'waiting'`, j.ID)
	}
}

// Run serves workers and sweeps until ctx ends.
func (q *Queue) Run(ctx context.Context, ready func()) error {
	for subject, answer := range map[string]func(context.Context, []byte) (any, error){
		"job.take":    answer(q.take),
		"job.renew":   answer(q.renew),
		"job.end":     answer(q.endJob),
		"job.submit":  answer(q.submit),
		"job.look":    answer(q.look),
		"job.release": answer(q.release),
	} {
		stop, err := q.bus.Serve(subject, answer)
		if err != nil {
			return err
		}
		defer stop()
	}
	ready()
	q.nudge()
	q.sweepUntil(ctx)
	return nil
}

// answer makes a typed function of one that takes bytes.
func answer[I, O any](fn func(context.Context, I) (O, error)) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, data []byte) (any, error) {
		var in I
		if err := json.Unmarshal(data, &in); err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "the request is not what was expected; do all nodes run the same version?")
		}
		return fn(ctx, in)
	}
}
