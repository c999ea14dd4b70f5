package client

import (
	"context"
	"iter"
	"net/url"
	"time"
)

// Node is a machine of the cloud.
type Node struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
	// State is ready, draining (takes no more work), aside (Reason says why) or
	// gone (was not heard of).
	State      string  `json:"state"`
	Reason     string  `json:"reason"`
	Version    string  `json:"version"`
	Class      string  `json:"class"` // what gives the same bytes for the same work
	Address    string  `json:"address"`
	Cores      int     `json:"cores"`
	Load       float64 `json:"load"` // from 0 to 1
	Memory     int64   `json:"memory"`
	MemoryUsed int64   `json:"memory_used"`
	DiskFree   int64   `json:"disk_free"`
	DiskSize   int64   `json:"disk_size"`
	Running    int     `json:"running"` // units of work
	// Worker is what it is worth as a worker; nil on a node that does not encode, or
	// is gone.
	Worker   *Worker   `json:"worker"`
	Currency string    `json:"currency"` // of Worker.PricePerHour
	JoinedAt time.Time `json:"joined_at"`
	SeenAt   time.Time `json:"seen_at"`
}

// Worker is a machine as a worker. A figure that is not known is nil.
type Worker struct {
	Architecture    string            `json:"architecture"` // amd64 or arm64
	CPU             string            `json:"cpu"`          // model
	Cores           int               `json:"cores"`
	Speed           *float64          `json:"speed"`            // frames of the standard encode in a second of one core
	Watts           float64           `json:"watts"`            // at full load
	WattsFrom       string            `json:"watts_from"`       // setting, rapl or model
	PricePerHour    *float64          `json:"price_per_hour"`   // in the node's Currency
	CarbonIntensity *float64          `json:"carbon_intensity"` // g CO2e/kWh
	Hardware        []HardwareEncoder `json:"hardware"`
}

// HardwareEncoder is one that the machine's ffmpeg has, and whether it encoded a
// picture.
type HardwareEncoder struct {
	Name  string `json:"name"`
	Works bool   `json:"works"`
	Why   string `json:"why"`  // it does not work, or empty
	Used  bool   `json:"used"` // assets that ask for hardware are made by it
}

// Nodes are the machines of the cloud. To read them needs the scope nodes:read,
// to change them admin.
type Nodes struct{ c *Client }

const nodesPath = "/v1/nodes"

// List yields the nodes, newest first. It ends after the first error.
func (s Nodes) List(ctx context.Context) iter.Seq2[Node, error] {
	return list[Node](ctx, s.c, nodesPath, nil)
}

// Get returns the node.
func (s Nodes) Get(ctx context.Context, id string) (n Node, err error) {
	return n, s.c.get(ctx, at(nodesPath, id), nil, &n)
}

// Drain lets the node finish what it works on and gives it no more.
func (s Nodes) Drain(ctx context.Context, id string) (n Node, err error) {
	return n, s.c.post(ctx, at(nodesPath, id)+"/drain", nil, &n)
}

// Resume gives a drained node work again.
func (s Nodes) Resume(ctx context.Context, id string) (n Node, err error) {
	return n, s.c.post(ctx, at(nodesPath, id)+"/resume", nil, &n)
}

// Delete removes the node: it can no longer come in.
func (s Nodes) Delete(ctx context.Context, id string) error {
	return s.c.delete(ctx, at(nodesPath, id))
}

// JoinToken lets a machine become a node.
type JoinToken struct {
	Token     string    `json:"token"`   // lyj_…
	Command   string    `json:"command"` // what to run on that machine
	ExpiresAt time.Time `json:"expires_at"`
}

// CreateJoinToken makes a token for nodes of these roles; none are a worker's. A
// zero expiresIn is the server's choice.
func (s Nodes) CreateJoinToken(ctx context.Context, roles []string, expiresIn time.Duration) (t JoinToken, err error) {
	in := struct {
		Roles     []string `json:"roles,omitempty"`
		ExpiresIn int64    `json:"expires_in,omitempty"`
	}{roles, int64(expiresIn / time.Second)}
	return t, s.c.post(ctx, nodesPath+"/join_tokens", in, &t)
}

// Job is a piece of work on an asset.
type Job struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind"` // transcode, unit, import or compare
	Asset     string     `json:"asset"`
	State     string     `json:"state"` // waiting, running, done, failed or canceled
	Progress  float64    `json:"progress"`
	Attempt   int        `json:"attempt"`
	Node      string     `json:"node"`
	Failure   *Failure   `json:"error"`
	CreatedAt time.Time  `json:"created_at"`
	StartedAt *time.Time `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at"`
}

// Jobs are the work of a tenant.
type Jobs struct{ c *Client }

const jobsPath = "/v1/jobs"

// JobFilter chooses jobs; what is empty does not matter.
type JobFilter struct {
	Asset, State, Kind string
}

// List yields the jobs, newest first. It ends after the first error.
func (s Jobs) List(ctx context.Context, f JobFilter) iter.Seq2[Job, error] {
	query := make(url.Values)
	set(query, "asset", f.Asset)
	set(query, "state", f.State)
	set(query, "kind", f.Kind)
	return list[Job](ctx, s.c, jobsPath, query)
}

// Get returns the job.
func (s Jobs) Get(ctx context.Context, id string) (j Job, err error) {
	return j, s.c.get(ctx, at(jobsPath, id), nil, &j)
}
