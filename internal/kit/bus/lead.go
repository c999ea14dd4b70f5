package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"liuyun/internal/base/fault"
)

const leaseBucket = "LEASES"

// Lead runs fn on one node at a time. With a single control node that is at once;
// with several, the node that holds the lease `name` runs it, and another takes
// over when that node has been silent for ten seconds. fn's ctx ends when ctx
// ends or the lease is lost; a node that was suspended may for a moment believe
// that it still leads, so what fn does must bear being done twice.
//
// Lead returns nil when ctx ends and fn's error when fn fails; when fn returns
// nil before that, Lead does so too and gives the lease back.
func (b *Bus) Lead(ctx context.Context, name string, fn func(ctx context.Context) error) error {
	if b.embedded() && !b.clustered() {
		return ignoreEnd(ctx, fn(ctx))
	}
	if err := checkKey(name); err != nil {
		return err
	}
	for ctx.Err() == nil {
		kv, revision, err := b.acquire(ctx, name)
		if err != nil {
			sleep(ctx, b.timing.lease/4)
			continue
		}
		b.options.Log.Debug("bus: leads", "lease", name)
		lost, err := b.lead(ctx, kv, name, revision, fn)
		if !lost {
			return ignoreEnd(ctx, err)
		}
		b.options.Log.Warn("bus: leads no more", "lease", name)
	}
	return nil
}

// ignoreEnd drops an error that only says that ctx has ended.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || fault.CodeOf(err) == fault.Canceled) {
		return nil
	}
	return err
}

func (b *Bus) acquire(ctx context.Context, name string) (jetstream.KeyValue, uint64, error) {
	kv, err := b.openBucket(ctx, leaseBucket, b.timing.lease)
	if err != nil {
		return nil, 0, err
	}
	revision, err := kv.Create(ctx, name, []byte(b.options.Name))
	return kv, revision, err
}

// lead runs fn while the lease is renewed and reports whether it was lost.
func (b *Bus) lead(ctx context.Context, kv jetstream.KeyValue, name string, revision uint64, fn func(ctx context.Context) error) (lost bool, err error) {
	leading, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- fn(leading) }()
	// The lease counts from before the renewal was sent, and ends for us a little
	// before it ends for others.
	until := time.Now().Add(b.timing.lease * 3 / 4)
	renew := time.NewTicker(b.timing.lease / 4)
	defer renew.Stop()
	for {
		select {
		case err := <-done:
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = kv.Delete(release, name, jetstream.LastRevision(revision)) // or it ends by its age
			return false, err
		case <-renew.C:
		}
		if ctx.Err() != nil {
			continue // fn is told; it may take its time
		}
		sent := time.Now()
		try, cancel := context.WithDeadline(ctx, until)
		next, err := kv.Update(try, name, []byte(b.options.Name), revision)
		cancel()
		switch {
		case err == nil:
			revision, until = next, sent.Add(b.timing.lease*3/4)
		case errors.Is(err, jetstream.ErrKeyExists) || time.Now().After(until):
			stop()
			<-done
			return ctx.Err() == nil, nil
		}
	}
}
