package vod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/contract/ingest"
	"liuyun/internal/kit/job"
	"liuyun/internal/kit/store"
)

// How a source comes in: the service as [Uploads] sees it, and imports.

// BeginUpload makes the asset of an upload, or finds the one that it names.
func (s *Service) BeginUpload(ctx context.Context, tenant string, r UploadRequest) (string, error) {
	fresh, err := s.assetOfUpload(tenant, r)
	if err != nil {
		return "", err
	}
	var id string
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		a, kind := fresh, event.AssetUpdated
		if r.Asset != "" {
			var err error
			if a, err = findAsset(tx, tenant, r.Asset); err != nil {
				return err
			}
			if err := a.mayReceive(); err != nil {
				return err
			}
		}
		var unfinished int
		err := tx.QueryRow(`SELECT COUNT(*) FROM assets WHERE tenant = ? AND deleted = 0 AND status = ?`, tenant, Uploading).Scan(&unfinished)
		if err != nil {
			return err
		}
		if unfinished >= r.Unfinished {
			return fault.New(fault.Limit, "%d uploads are under way, which is the most: finish or delete some", unfinished)
		}
		if r.Asset == "" {
			if err := s.create(tx, a); err != nil {
				return err
			}
		}
		id = a.ID
		a.Status, a.Error, a.Size, a.Received, a.Touched = Uploading, nil, r.Size, 0, time.Now().UTC()
		return s.save(tx, a, kind)
	})
	return id, err
}

// assetOfUpload is the asset that an upload asks for, when it asks for one.
func (s *Service) assetOfUpload(tenant string, r UploadRequest) (*asset, error) {
	if r.Asset != "" {
		return nil, nil
	}
	var options *OptionsInput
	if len(r.Options) > 0 {
		if err := json.Unmarshal(r.Options, &options); err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "the options are no JSON object such as {\"preset\":\"medium\"}")
		}
	}
	a, err := s.newAsset(tenant, r.Name, Policy(r.PlaybackPolicy), options)
	if err != nil {
		return nil, err
	}
	if a.Name == "" {
		a.Name = unnamed
	}
	return a, nil
}

// unnamed is the name of an asset that nobody gave one.
const unnamed = "untitled"

// mayReceive says why an asset takes no upload, or nil.
func (a *asset) mayReceive() error {
	if err := a.noSource("upload the file as a new asset"); err != nil {
		return err
	}
	switch {
	case a.Status == Uploading:
		return fault.New(fault.Conflict, "another upload to this asset is under way; go on with it, or delete it first")
	case a.Status == Created, a.Status == Failed && a.Source == "":
		return nil
	}
	return fault.New(fault.Conflict, "the asset has its source already; make a new asset for another file")
}

// OwnerOf says whose an asset is.
func (s *Service) OwnerOf(ctx context.Context, id string) (tenant string, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		a, err := findAsset(tx, "", id)
		if err == nil {
			tenant = a.Tenant
		}
		return err
	})
	return tenant, err
}

// Uploading notes how much of a source is here.
func (s *Service) Uploading(ctx context.Context, id string, received, size int64) error {
	var a *asset
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if a, err = findAsset(tx, "", id); err != nil || a.Status != Uploading {
			return err
		}
		a.Received, a.Size, a.Touched = received, size, time.Now().UTC()
		return saveAsset(tx, a) // no change of the document but progress, which is told below
	})
	if err == nil && a.Status == Uploading && size > 0 {
		s.tell(a.Tenant, Progress{ID: id, Status: Uploading, Progress: float64(received) / float64(size), Phase: "upload"})
	}
	return err
}

// Resting returns the assets of whose upload nothing was heard since that time.
func (s *Service) Resting(ctx context.Context, since time.Time) (list []string, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT id FROM assets WHERE status = ? AND touched < ? AND deleted = 0`, Uploading, store.Time(since))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			list = append(list, id)
		}
		return rows.Err()
	})
	return list, err
}

// Uploaded takes the whole source.
func (s *Service) Uploaded(ctx context.Context, id, object string, size int64) error {
	_, err := s.change(ctx, "", id, event.AssetUpdated, func(tx *store.Tx, a *asset) error {
		if a.Status != Created && a.Status != Uploading {
			return errUnchanged
		}
		return s.sourceIsHere(tx, a, object, size)
	})
	return unlessUnchanged(err)
}

// UploadFailed notes that no source will come.
func (s *Service) UploadFailed(ctx context.Context, id string, cause error) error {
	_, err := s.change(ctx, "", id, event.AssetFailed, func(_ *store.Tx, a *asset) error {
		if a.Status != Uploading {
			return errUnchanged
		}
		a.Status, a.Received = Failed, 0
		a.Error = &job.Failure{Code: fault.CodeOf(cause), Message: fault.Message(cause)}
		return nil
	})
	if fault.CodeOf(err) == fault.NotFound {
		return nil // deleted meanwhile
	}
	return unlessUnchanged(err)
}

// errUnchanged ends a change that an earlier call has made already: nothing is
// written, and nobody is told.
var errUnchanged = errors.New("nothing to change")

func unlessUnchanged(err error) error {
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// addImport has a worker fetch the source from its address.
func (s *Service) addImport(tx *store.Tx, a *asset) error {
	a.Version++
	ids, err := s.Jobs.Add(tx, job.Spec{
		Kind: ingest.Import, Tenant: a.Tenant, Group: a.ID, Name: fmt.Sprint(a.Version),
		Payload: ingest.Request{Asset: a.ID, URL: a.Address, Object: sourceName(a.ID)},
	})
	if err == nil {
		a.Job = ids[0]
	}
	return err
}

// imported takes the source that a worker fetched, or why there is none.
func (s *Service) imported(tx *store.Tx, j job.Job) error {
	a, err := s.assetOf(tx, j)
	if a == nil || err != nil {
		return err
	}
	tx.AfterCommit(func() { s.progress.forget(a.ID) })
	switch j.State {
	case job.Done:
		var result ingest.Result
		if err := json.Unmarshal(j.Result, &result); err != nil {
			return fmt.Errorf("result of job %s: %w", j.ID, err)
		}
		if a.Name == unnamed && result.Name != "" {
			a.Name = result.Name
		}
		if err := s.sourceIsHere(tx, a, result.Object, result.Size); err != nil {
			return err
		}
		return s.save(tx, a, event.AssetUpdated)
	case job.Failed:
		a.Status, a.Error = Failed, j.Error
		return s.save(tx, a, event.AssetFailed)
	}
	return nil
}
