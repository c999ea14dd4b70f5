package vod

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/contract/encode"
	"liuyun/internal/contract/event"
	"liuyun/internal/contract/ingest"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/job"
	"liuyun/internal/kit/store"
)

// Deps are what the service stands on. All fields but Prefer and Currency must be set.
type Deps struct {
	DB     *store.DB
	Bus    *bus.Bus
	Jobs   *job.Queue
	Blob   blob.Store
	Signer *guard.Signer
	Viewer ViewerConfig
	Log    *slog.Logger

	// Prefer is which workers make an asset for which nobody said it; Currency is that
	// of prices.
	Prefer, Currency string
	// Room says that there is no room for objects, or nil.
	Room func() error
	// CheckOptions says what is wrong with the options of an encoding.
	CheckOptions func(encode.Options) error
	// Encoded counts what was made, in the transaction that makes an asset ready.
	Encoded func(tx *store.Tx, tenant string, length time.Duration, cpu float64) error
	// Received counts a source, in the transaction that notes it.
	Received func(tx *store.Tx, tenant string) error
	// Served counts bytes that viewers were sent. It must be quick.
	Served func(tenant string, bytes int64)
}

// Service keeps assets: what they are, where they are on their way, and who may
// play them. It touches no segment: video/transcode makes them, the blob store
// keeps them, and [Service.Play] hands them out.
type Service struct {
	Deps
	ids      id.Maker
	progress progressBoard
	views    viewCache
	sweep    chan struct{} // something is to be removed
}

// New returns the service and has the queue tell it of its jobs. Run does the
// rest.
func New(d Deps) *Service {
	s := &Service{Deps: d, sweep: make(chan struct{}, 1)}
	d.Jobs.OnStart(encode.Transcode, s.started)
	d.Jobs.OnEnd(encode.Transcode, s.ended)
	d.Jobs.OnEnd(encode.Unit, s.unitEnded)
	d.Jobs.OnEnd(ingest.Import, s.imported)
	d.Jobs.OnStart(encode.Compare, s.comparisonStarted)
	d.Jobs.OnEnd(encode.Compare, s.comparisonEnded)
	return s
}

// change reads an asset, lets edit change it, and writes it with its event. The
// tenant "" is any. It returns what was written.
func (s *Service) change(ctx context.Context, tenant, id, kind string, edit func(tx *store.Tx, a *asset) error) (*asset, error) {
	var changed *asset
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		a, err := findAsset(tx, tenant, id)
		if err != nil {
			return err
		}
		if err := edit(tx, a); err != nil {
			return err
		}
		changed = a
		return s.save(tx, a, kind)
	})
	return changed, err
}

// save writes a changed asset and its event.
func (s *Service) save(tx *store.Tx, a *asset, kind string) error {
	a.Updated = time.Now().UTC()
	a.Rev++
	if err := saveAsset(tx, a); err != nil {
		return err
	}
	tx.AfterCommit(func() { s.views.forget(a.ID) })
	if len(a.Garbage) > 0 || !a.Deleted.IsZero() {
		tx.AfterCommit(s.nudgeSweep)
	}
	tx.AfterCommit(func() { s.report(a, kind) })
	return s.emit(tx, a, kind)
}

// report writes into the log what an operator wants to know of an asset.
func (s *Service) report(a *asset, kind string) {
	log := s.Log.With("asset", a.ID, "name", a.Name, "tenant", a.Tenant)
	switch kind {
	case event.AssetReady:
		log.Info("video is ready", "length", a.length(), "cpu", seconds(a.Result.CPUSeconds), "since_upload", a.ReadyAt.Sub(a.Created).Round(time.Second))
	case event.AssetFailed:
		log.Warn("video failed", "code", a.Error.Code, "reason", a.Error.Message)
	case event.AssetDeleted:
		log.Info("video is deleted")
	}
}

// length is how long the asset plays.
func (a *asset) length() time.Duration { return seconds(a.Result.Duration) }

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond)
}

func (s *Service) emit(tx *store.Tx, a *asset, kind string) error {
	document, err := s.document(tx, a)
	if err != nil {
		return err
	}
	data, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return s.Bus.Emit(tx, event.Event{Type: kind, Tenant: a.Tenant, Data: data})
}

// create makes an asset, which waits for its source, or for the import of it
// when it has an address.
func (s *Service) create(tx *store.Tx, a *asset) error {
	now := time.Now().UTC()
	a.ID = s.ids.New("ast")
	a.Status, a.Created, a.Updated, a.Touched, a.Rev = Created, now, now, now, 1
	if a.Address != "" {
		a.Status = Queued
		if err := s.addImport(tx, a); err != nil {
			return err
		}
	}
	if err := insertAsset(tx, a); err != nil {
		return err
	}
	return s.emit(tx, a, event.AssetCreated)
}

// enqueue asks for the stream of an asset whose source is here. A job for what
// the asset was before is canceled.
func (s *Service) enqueue(tx *store.Tx, a *asset) error {
	if err := s.interruptComparison(tx, a); err != nil {
		return err
	}
	if err := s.Jobs.CancelGroup(tx, a.Tenant, a.ID); err != nil {
		return err
	}
	a.Version++
	// The new job works where the one before did.
	a.notGarbage(encode.UnitsPrefix(a.ID))
	class := ""
	if a.Options.Hardware {
		class = encode.HardwareClass
	}
	ids, err := s.Jobs.Add(tx, job.Spec{
		Kind: encode.Transcode, Class: class, Tenant: a.Tenant, Group: a.ID, Name: fmt.Sprint(a.Version), Prefer: job.Prefer(a.Options.Prefer), Payload: a.request(),
	})
	if err != nil {
		return err
	}
	a.Job = ids[0]
	if a.Result == nil {
		a.Status, a.Error = Queued, nil
	}
	return nil
}

// sourceIsHere takes the whole source of an asset. Said twice, it is done once.
func (s *Service) sourceIsHere(tx *store.Tx, a *asset, object string, size int64) error {
	switch a.Status {
	case Created, Uploading:
	case Queued:
		if a.Address == "" || a.Source != "" {
			return nil
		}
	default:
		return nil
	}
	a.Source, a.Size, a.Received = object, size, size
	if err := s.Deps.Received(tx, a.Tenant); err != nil {
		return err
	}
	tx.AfterCommit(func() {
		s.Log.Info("video is received", "asset", a.ID, "name", a.Name, "tenant", a.Tenant, "bytes", size)
	})
	return s.enqueue(tx, a)
}

// started notes that a worker has an asset.
func (s *Service) started(tx *store.Tx, j job.Job) error {
	a, err := s.assetOf(tx, j)
	if a == nil || err != nil || a.Status != Queued {
		return err
	}
	a.Status = Processing
	return s.save(tx, a, event.AssetUpdated)
}

// ended takes what a worker made of an asset, or why it made nothing.
func (s *Service) ended(tx *store.Tx, j job.Job) error {
	a, err := s.assetOf(tx, j)
	if a == nil || err != nil {
		return err
	}
	tx.AfterCommit(func() { s.progress.forget(a.ID) })
	a.Garbage = append(a.Garbage, encode.UnitsPrefix(a.ID))
	switch j.State {
	case job.Done:
		return s.made(tx, a, j)
	case job.Failed:
		a.Error = j.Error
		if a.Result == nil {
			a.Status = Failed
		}
		return s.save(tx, a, event.AssetFailed)
	}
	return s.save(tx, a, event.AssetUpdated)
}

// made takes a result.
func (s *Service) made(tx *store.Tx, a *asset, j job.Job) error {
	var result encode.Result
	if err := json.Unmarshal(j.Result, &result); err != nil {
		return fmt.Errorf("result of job %s: %w", j.ID, err)
	}
	length := time.Duration(result.Duration * float64(time.Second))
	if a.Result != nil {
		length = 0 // it counted when it was first made
		if a.Result.Prefix != result.Prefix {
			a.Garbage = append(a.Garbage, a.Result.Prefix)
		}
	}
	own := result.OwnSpent
	own.CPU = result.OwnCPUSeconds // as in unitEnded
	if err := addSpent(tx, a.ID, own); err != nil {
		return err
	}
	if err := a.readSpent(tx); err != nil {
		return err
	}
	if err := s.Encoded(tx, a.Tenant, length, result.CPUSeconds); err != nil {
		return err
	}
	kind := event.AssetUpdated
	if a.Status != Ready {
		kind, a.ReadyAt = event.AssetReady, time.Now().UTC()
	}
	a.Status, a.Error, a.Result = Ready, nil, &result
	return s.save(tx, a, kind)
}

// assetOf returns the asset whose last job j is, or nil: a job of an asset that
// is deleted, or that has got a newer job, changes nothing.
func (s *Service) assetOf(tx *store.Tx, j job.Job) (*asset, error) {
	a, err := findAsset(tx, j.Tenant, j.Group)
	if fault.CodeOf(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil || a.Job != j.ID {
		return nil, err
	}
	return a, nil
}

// remove deletes an asset for everybody at once; what it has in the blob store
// goes when its workers have let go.
func (s *Service) remove(ctx context.Context, tenant, id string, match func(rev int64) error) error {
	_, err := s.change(ctx, tenant, id, event.AssetDeleted, func(tx *store.Tx, a *asset) error {
		if err := match(a.Rev); err != nil {
			return err
		}
		a.Deleted = time.Now().UTC()
		return s.Jobs.CancelGroup(tx, a.Tenant, a.ID)
	})
	return err
}

// retry has a failed asset made again.
func (s *Service) retry(ctx context.Context, tenant, id string) (*asset, error) {
	return s.change(ctx, tenant, id, event.AssetUpdated, func(tx *store.Tx, a *asset) error {
		if err := a.noSource("what was not recorded cannot be recorded again"); err != nil {
			return err
		}
		switch {
		case a.Status != Failed:
			return fault.New(fault.Conflict, "the asset is %s; only a failed one can be tried again", a.Status)
		case a.Source != "":
			return s.enqueue(tx, a)
		case a.Address != "":
			a.Status, a.Error = Queued, nil
			return s.addImport(tx, a)
		}
		return fault.New(fault.Conflict, "its upload did not finish; upload the file again")
	})
}
