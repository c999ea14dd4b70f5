// Package sched shows the queue: which jobs there are, where they run and how far
// they are. Choosing the next one is kit/job's.
package sched

import (
	"context"
	"net/http"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/job"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

// Service answers for the jobs of a queue.
type Service struct {
	db   *store.DB
	jobs *job.Queue
}

// New returns the service.
func New(db *store.DB, jobs *job.Queue) *Service { return &Service{db, jobs} }

// Job is a job as the API shows it.
type Job struct {
	ID        string       `json:"id"`
	Kind      string       `json:"kind" enum:"transcode,unit,import,compare" doc:"Transcode is all of an asset, a unit is a piece of it."`
	Asset     string       `json:"asset"`
	State     job.State    `json:"state" enum:"waiting,running,done,failed,canceled"`
	Hold      string       `json:"waiting_for" doc:"What a waiting job waits for besides a worker: storage while a disk is full, else empty."`
	Progress  float64      `json:"progress"`
	Phase     string       `json:"phase"`
	Attempt   int          `json:"attempt"`
	Node      string       `json:"node" doc:"The node that took it last."`
	Error     *job.Failure `json:"error"`
	CreatedAt time.Time    `json:"created_at"`
	StartedAt *time.Time   `json:"started_at"`
	EndedAt   *time.Time   `json:"ended_at"`
}

func shown(j job.Job) Job {
	return Job{
		ID: j.ID, Kind: j.Kind, Asset: j.Group, State: j.State, Hold: j.Hold, Progress: j.Progress, Phase: j.Phase, Attempt: j.Attempt,
		Node: j.Node, Error: j.Error, CreatedAt: j.Created, StartedAt: unlessZero(j.Started), EndedAt: unlessZero(j.Ended),
	}
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Routes adds the operations of jobs to the API.
func (s *Service) Routes(api *web.API) {
	web.Add(api, web.Op{
		ID: "list-jobs", Method: http.MethodGet, Path: "/v1/jobs", Tag: "Jobs", Scope: guard.AssetsRead,
		Summary: "List jobs, newest first", Description: "Jobs that ended are kept for seven days.",
	}, s.list)
	web.Add(api, web.Op{
		ID: "get-job", Method: http.MethodGet, Path: "/v1/jobs/{id}", Tag: "Jobs", Scope: guard.AssetsRead, Summary: "Get a job",
	}, s.get)
}

type listInput struct {
	web.PageQuery
	Asset string `query:"asset" maxLength:"64" doc:"Only jobs of this asset."`
	State string `query:"state" enum:"waiting,running,done,failed,canceled" doc:"Only jobs in this state."`
	Kind  string `query:"kind" maxLength:"20" doc:"Only jobs of this kind."`
}

type listOutput struct{ Body web.Page[Job] }

func (s *Service) list(ctx context.Context, in *listInput) (*listOutput, error) {
	who, _ := guard.From(ctx)
	out := &listOutput{web.Page[Job]{Data: []Job{}}}
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		jobs, err := s.jobs.List(tx, job.Filter{
			Tenant: who.Tenant, Group: in.Asset, Kind: in.Kind, State: job.State(in.State), After: in.After, Limit: in.Limit + 1,
		})
		if err != nil {
			return err
		}
		if len(jobs) > in.Limit {
			jobs = jobs[:in.Limit]
			out.Body.Next = jobs[in.Limit-1].ID
		}
		for _, j := range jobs {
			out.Body.Data = append(out.Body.Data, shown(j))
		}
		return nil
	})
	return out, err
}

type getInput struct {
	ID string `path:"id" maxLength:"64" doc:"Job, job_…"`
}

type getOutput struct{ Body Job }

func (s *Service) get(ctx context.Context, in *getInput) (*getOutput, error) {
	who, _ := guard.From(ctx)
	var out *getOutput
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		j, err := s.jobs.Get(tx, in.ID)
		if err == nil && j.Tenant != who.Tenant {
			err = fault.New(fault.NotFound, "there is no job %q", in.ID)
		}
		out = &getOutput{shown(j)}
		return err
	})
	return out, err
}
