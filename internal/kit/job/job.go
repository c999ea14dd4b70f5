// Package job is the queue of long work: encoding, importing. Jobs are rows of
// the store, so that a change and its job are one transaction; workers on any
// node take them by requests over the bus and hold them by a lease that they
// renew.
//
// Everything is done at least once. A handler writes results under names that
// follow from their content, and what it returns counts only while its lease
// holds: the end of a job carries the attempt, and a late one is refused.
package job

import (
	"encoding/json"
	"time"

	"liuyun/internal/base/fault"
)

// MaxPayload is the largest payload or result in bytes, as JSON; a larger one is
// fault.Limit. What is larger lies in an object and is named.
const MaxPayload = 256 << 10

// Spec describes a job to add. (Tenant, Group, Kind, Name) is unique among jobs
// that did not fail and were not canceled: adding it again returns the present
// one, ended or not.
type Spec struct {
	Kind     string // what to do: names a handler
	Tenant   string // for fairness
	Group    string // what it belongs to: the asset
	Name     string // which of its group and kind
	Class    string // the class of worker that may take it; "" is any
	Priority int    // higher goes first, within its tenant
	Cost     int    // roughly, in milliseconds of a processor: of one group, what costs most goes first
	Prefer   Prefer // which workers go before others
	Payload  any    // becomes JSON
	Parent   string // the job that waits for it
}

// State is how far a job is.
type State string

// The states. The last three are for good.
const (
	Waiting  State = "waiting"
	Running  State = "running"
	Done     State = "done"
	Failed   State = "failed"
	Canceled State = "canceled"
)

// Ended reports whether the state is for good.
func (s State) Ended() bool { return s == Done || s == Failed || s == Canceled }

// HoldStorage is the Hold of a job that waits for room on a disk.
const HoldStorage = "storage"

// Failure says why a job failed, or why its last attempt did.
type Failure struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
}

// Job is a job as it is now.
type Job struct {
	ID       string          `json:"id"`
	Kind     string          `json:"kind"`
	Tenant   string          `json:"tenant"`
	Group    string          `json:"group"`
	Name     string          `json:"name"`
	Class    string          `json:"class,omitempty"`
	Parent   string          `json:"parent,omitempty"`
	Priority int             `json:"priority,omitempty"`
	Prefer   Prefer          `json:"prefer,omitempty"`
	State    State           `json:"state"`
	Attempt  int             `json:"attempt"` // how often it was taken
	Payload  json.RawMessage `json:"payload,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *Failure        `json:"error,omitempty"`
	Progress float64         `json:"progress"` // 0 to 1, a few seconds old
	Phase    string          `json:"phase,omitempty"`
	Node     string          `json:"node,omitempty"` // that took it last
	Created  time.Time       `json:"created"`
	Started  time.Time       `json:"started,omitzero"` // of the last attempt
	Ended    time.Time       `json:"ended,omitzero"`
	Hold     string          `json:"hold,omitempty"` // "" or HoldStorage
}

// Filter chooses jobs of a list, newest first. Empty fields choose all.
type Filter struct {
	Tenant, Group, Kind string
	State               State
	After               string // the last id of the page before
	Limit               int    // 50 when 0
}

// The subjects that others may listen to. Each is a courtesy that may be lost.
const (
	SubjectAdded    = "job.added"    // {}: there is something to take
	SubjectProgress = "job.progress" // [Progress]
	SubjectEnded    = "job.ended"    // [Ended]
	SubjectCanceled = "job.canceled" // [Ended]: who works on it shall stop
)

// Progress tells how far a running job is, about once a second.
type Progress struct {
	Job      string  `json:"job"`
	Group    string  `json:"group"`
	Tenant   string  `json:"tenant"`
	Kind     string  `json:"kind"`
	Progress float64 `json:"progress"`
	Phase    string  `json:"phase"`
}

// Ended tells that a job has come to an end.
type Ended struct {
	Job    string `json:"job"`
	Group  string `json:"group"`
	Tenant string `json:"tenant"`
	Kind   string `json:"kind"`
	State  State  `json:"state"`
}
