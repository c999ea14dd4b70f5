package vod

import (
	"context"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/job"
	"liuyun/internal/kit/store"
)

// An asset that is recorded has no source and no job: another domain writes what
// plays into its folder of objects, and says when that is whole.

// recorded says of what an asset is a recording.
type recorded struct {
	Stream string    `json:"stream"`
	Start  time.Time `json:"start,omitzero"` // of day, of what is in it; zero is unknown
	End    time.Time `json:"end,omitzero"`
}

// AssetRecording says of what an asset is a recording.
type AssetRecording struct {
	Stream string     `json:"stream" doc:"str_…, which may be deleted since."`
	Start  *time.Time `json:"start" doc:"When what is in it happened; null until it is ready."`
	End    *time.Time `json:"end"`
}

func (r *recorded) document() *AssetRecording {
	if r == nil {
		return nil
	}
	d := &AssetRecording{Stream: r.Stream}
	if !r.Start.IsZero() {
		d.Start, d.End = &r.Start, &r.End
	}
	return d
}

// NewRecording is what a recording begins with.
type NewRecording struct {
	Tenant, Name, Stream string
	Policy               Policy
}

// BeginRecording makes an asset that grows, and says below which prefix its objects
// are to lie.
func (s *Service) BeginRecording(tx *store.Tx, n NewRecording) (id, folder string, err error) {
	name, err := cleanName(n.Name)
	if err != nil {
		return "", "", err
	}
	if name == "" {
		name = unnamed
	}
	a := &asset{Tenant: n.Tenant, Name: name, Policy: n.Policy, Options: encode.DefaultOptions(), Recorded: &recorded{Stream: n.Stream}}
	now := time.Now().UTC()
	a.ID = s.ids.New("ast")
	a.Status, a.Created, a.Updated, a.Touched, a.Rev = Recording, now, now, now, 1
	if err := insertAsset(tx, a); err != nil {
		return "", "", err
	}
	return a.ID, assetFolder(a.ID), s.emit(tx, a, event.AssetCreated)
}

// GrowRecording notes how many bytes of a recording are stored. It is not found when
// the asset is deleted.
func (s *Service) GrowRecording(ctx context.Context, id string, bytes int64) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		a, err := findAsset(tx, "", id)
		if err != nil || a.Status != Recording {
			return err
		}
		a.Received, a.Touched = bytes, time.Now().UTC()
		return saveAsset(tx, a) // nothing that the document shows
	})
}

// PublishRecording makes a recording ready: all that plays lies below the result's
// prefix. What begins with scrap is not needed any more. It is not found when the asset
// is deleted.
func (s *Service) PublishRecording(tx *store.Tx, id string, result *encode.Result, start, end time.Time, scrap string) error {
	a, err := findAsset(tx, "", id)
	if err != nil || a.Status != Recording {
		return err
	}
	a.Status, a.Result, a.Received, a.ReadyAt = Ready, result, 0, time.Now().UTC()
	a.Recorded.Start, a.Recorded.End = start.UTC(), end.UTC()
	a.Garbage = append(a.Garbage, scrap)
	return s.save(tx, a, event.AssetReady)
}

// FailRecording notes that nothing will come of a recording.
func (s *Service) FailRecording(tx *store.Tx, id string, cause error) error {
	a, err := findAsset(tx, "", id)
	if err != nil || a.Status != Recording {
		return err
	}
	a.Status, a.Received, a.Error = Failed, 0, &job.Failure{Code: fault.CodeOf(cause), Message: fault.Message(cause)}
	a.Garbage = append(a.Garbage, assetFolder(a.ID))
	return s.save(tx, a, event.AssetFailed)
}

// noSource says why what needs the source of an asset cannot be done, or nil.
func (a *asset) noSource(what string) error {
	if a.Recorded == nil {
		return nil
	}
	return fault.New(fault.Conflict, "the asset was recorded from a stream and has no source: %s", what)
}
