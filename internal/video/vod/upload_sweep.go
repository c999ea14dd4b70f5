package vod

import (
	"context"
	"errors"
	"strings"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/blob"
)

const (
	// uploadSweepEvery is how often unfinished uploads are looked at.
	uploadSweepEvery = 10 * time.Minute
	// putRest is how long a source that comes in one request may pause before nobody
	// sends it any more: far longer than a server waits for its client.
	putRest = 15 * time.Minute
)

// Run finishes uploads whose client did not wait for the end, and gives up those that
// rest too long, at the start and from time to time. Several nodes may do it at once.
func (u *Uploads) Run(ctx context.Context, ready func()) error {
	ready()
	timer := time.NewTicker(uploadSweepEvery)
	defer timer.Stop()
	for {
		if err := u.sweep(ctx, time.Now()); err != nil && ctx.Err() == nil {
			u.Log.Warn("unfinished uploads could not be looked at; it is tried again", "cause", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
	}
}

func (u *Uploads) sweep(ctx context.Context, now time.Time) error {
	var assets []string
	err := u.Blob.List(ctx, uploadRecords, func(info blob.Info) error {
		assets = append(assets, strings.TrimPrefix(info.Name, uploadRecords))
		return nil
	})
	problems := []error{err}
	for _, asset := range assets {
		problems = append(problems, u.sweepOne(ctx, asset, now))
	}
	return errors.Join(append(problems, u.sweepLost(ctx, now))...)
}

// sweepLost gives up what was begun and is no upload that anybody could go on with: a
// kill came in the middle of a source in one request, or before the record was there.
func (u *Uploads) sweepLost(ctx context.Context, now time.Time) error {
	resting, err := u.Assets.Resting(ctx, now.Add(-putRest))
	if err != nil {
		return err
	}
	var problems []error
	for _, asset := range resting {
		_, err := u.readRecord(ctx, asset)
		if fault.CodeOf(err) == fault.NotFound {
			err = u.Assets.UploadFailed(ctx, asset, fault.New(fault.Canceled, "the upload broke off: upload the file again"))
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// sweepOne looks at one upload, unless a request is writing it.
func (u *Uploads) sweepOne(ctx context.Context, asset string, now time.Time) error {
	lock := &uploadLock{locks: &u.locks, id: asset, released: make(chan struct{})}
	if lock.try() != nil {
		return nil
	}
	defer lock.Unlock()
	record, err := u.readRecord(ctx, asset)
	if fault.CodeOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = u.Assets.OwnerOf(ctx, asset)
	if fault.CodeOf(err) == fault.NotFound {
		return u.forget(ctx, asset)
	}
	if err != nil {
		return err
	}
	expired := now.Sub(record.Active) > u.Config.Expires
	if record.Done {
		if expired {
			return u.Blob.Delete(ctx, uploadRecords+asset)
		}
		return nil
	}
	have, err := u.received(ctx, record)
	switch {
	case err != nil:
		return err
	case have == record.Size:
		return u.finish(ctx, &record)
	case !expired:
		return nil
	}
	if err := u.Assets.UploadFailed(ctx, asset, fault.New(fault.Canceled,
		"nothing more of the file came for %s: upload it again", u.Config.Expires)); err != nil {
		return err
	}
	return u.forget(ctx, asset)
}
