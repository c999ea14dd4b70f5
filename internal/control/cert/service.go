// Package cert keeps what edges need to have certificates of sites in common: the
// certificates with their keys, accounts at authorities, challenges that are open, and
// locks, so that of all edges one asks the authority. It looks into none of it.
//
// A [Service] runs on each control node, a [Client] is on every edge.
package cert

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/store"
)

const (
	lease      = 60 * time.Second // of a lock that is not renewed
	pruneEvery = time.Hour
	perAnswer  = 500 // keys
)

// Subjects are what a Client says on the bus.
func Subjects() []string {
	return []string{
		edge.SubjectCertificateLoad, edge.SubjectCertificateList, edge.SubjectCertificateChange,
		edge.SubjectCertificateLock, edge.SubjectCertificateRenew, edge.SubjectCertificateUnlock,
	}
}

// records and messages are what a Service needs of kit/store and kit/bus.
type records interface {
	Read(ctx context.Context, fn func(*store.Tx) error) error
	Write(ctx context.Context, fn func(*store.Tx) error) error
}

type messages interface {
	Serve(subject string, fn func(ctx context.Context, data []byte) (any, error)) (stop func(), err error)
}

// Deps are what a Service is made of.
type Deps struct {
	Records  records // its Migrations were taken
	Messages messages
	Log      *slog.Logger
}

// Service answers edges. Any number may run on the same records.
type Service struct {
	deps Deps
	// most is how many keys there may be. Tests make it smaller.
	most int
}

// New returns a service that does nothing until Run.
func New(d Deps) *Service { return &Service{deps: d, most: 100_000} }

// Run answers until ctx ends, and removes what nobody needs any more.
func (s *Service) Run(ctx context.Context, ready func()) error {
	for subject, fn := range map[string]func(context.Context, []byte) (any, error){
		edge.SubjectCertificateLoad:   answer(s.load),
		edge.SubjectCertificateList:   answer(s.list),
		edge.SubjectCertificateChange: answer(s.change),
		edge.SubjectCertificateLock:   answer(s.lock),
		edge.SubjectCertificateRenew:  answer(s.renew),
		edge.SubjectCertificateUnlock: answer(s.unlock),
	} {
		stop, err := s.deps.Messages.Serve(subject, fn)
		if err != nil {
			return err
		}
		defer stop()
	}
	ready()
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.deps.Records.Write(ctx, func(tx *store.Tx) error { return prune(tx, time.Now()) }); err != nil && ctx.Err() == nil {
				s.deps.Log.Warn("old certificates were not removed", "cause", err)
			}
		}
	}
}

// answer decodes a request for fn.
func answer[In, Out any](fn func(context.Context, In) (Out, error)) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, data []byte) (any, error) {
		var in In
		if err := json.Unmarshal(data, &in); err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "the request is no JSON of its kind; do all nodes run the same version?")
		}
		return fn(ctx, in)
	}
}

func (s *Service) load(ctx context.Context, in edge.CertificateLoad) (out edge.CertificateValue, err error) {
	if err := checkKey(in.Key); err != nil {
		return out, err
	}
	err = s.deps.Records.Read(ctx, func(tx *store.Tx) error {
		out, err = get(tx, in.Key)
		return err
	})
	return out, err
}

func (s *Service) list(ctx context.Context, in edge.CertificateList) (out edge.CertificateKeys, err error) {
	if err := checkKey(in.Prefix); err != nil {
		return out, err
	}
	if in.After != "" {
		if err := checkKey(in.After); err != nil {
			return out, err
		}
	}
	err = s.deps.Records.Read(ctx, func(tx *store.Tx) error {
		out.Keys, err = below(tx, in.Prefix, in.After, perAnswer+1)
		return err
	})
	if len(out.Keys) > perAnswer {
		out.Keys, out.More = out.Keys[:perAnswer], true
	}
	return out, err
}

func (s *Service) change(ctx context.Context, in edge.CertificateChange) (struct{}, error) {
	if err := checkChange(in); err != nil {
		return struct{}{}, err
	}
	return struct{}{}, s.deps.Records.Write(ctx, func(tx *store.Tx) error {
		if in.Under != nil {
			if err := checkHold(tx, *in.Under); err != nil {
				return err
			}
		}
		if in.Remove != "" {
			if err := remove(tx, in.Remove); err != nil {
				return err
			}
		}
		now := time.Now()
		for _, entry := range in.Put {
			if err := put(tx, entry, now); err != nil {
				return err
			}
		}
		if len(in.Put) == 0 {
			return nil
		}
		return checkCount(tx, s.most)
	})
}

func (s *Service) lock(ctx context.Context, in edge.CertificateLock) (out edge.CertificateHold, err error) {
	if err := checkKey(in.Name); err != nil {
		return out, err
	}
	if len(in.Holder) < 16 || len(in.Holder) > 64 {
		return out, fault.New(fault.Invalid, "a holder of a lock is named by 16 to 64 characters")
	}
	err = s.deps.Records.Write(ctx, func(tx *store.Tx) error {
		out.Name = in.Name
		out.Token, err = acquire(tx, in.Name, in.Holder, time.Now(), s.most)
		return err
	})
	return out, err
}

func (s *Service) renew(ctx context.Context, in edge.CertificateHold) (struct{}, error) {
	if err := checkKey(in.Name); err != nil {
		return struct{}{}, err
	}
	return struct{}{}, s.deps.Records.Write(ctx, func(tx *store.Tx) error {
		return setExpiry(tx, in, time.Now().Add(lease))
	})
}

// unlock frees a lock. That it was lost before is no error.
func (s *Service) unlock(ctx context.Context, in edge.CertificateHold) (struct{}, error) {
	if err := checkKey(in.Name); err != nil {
		return struct{}{}, err
	}
	return struct{}{}, s.deps.Records.Write(ctx, func(tx *store.Tx) error {
		err := setExpiry(tx, in, time.Time{})
		if fault.CodeOf(err) == fault.Conflict {
			return nil
		}
		return err
	})
}
