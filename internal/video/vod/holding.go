package vod

import "liuyun/internal/kit/store"

// Holding is what the record of an asset names in the blob store. What is made
// while an asset is on its way is none of it: that can be made again.
type Holding struct {
	Asset, Tenant, Name string
	Objects             []string // the source, and subtitles that were added
	Prefix              string   // of the folder of what was made; "" before it is ready
	Bytes               int64    // of all that, as the records count it
}

// UploadRecords is the prefix of what is known of uploads besides their bytes.
// Without it nobody gives up an upload that rests too long.
const UploadRecords = uploadRecords

// holdingBatch is how many assets are read at a time.
const holdingBatch = 1000

// Holdings calls fn for each asset that is not deleted, in order of id, until fn
// fails.
func Holdings(tx *store.Tx, fn func(Holding) error) error {
	last := ""
	for {
		list, err := queryAssets(tx, `WHERE deleted = 0 AND id > ? ORDER BY id LIMIT ?`, last, holdingBatch)
		if err != nil {
			return err
		}
		for _, a := range list {
			if err := fn(a.holding()); err != nil {
				return err
			}
			last = a.ID
		}
		if len(list) < holdingBatch {
			return nil
		}
	}
}

func (a *asset) holding() Holding {
	h := Holding{Asset: a.ID, Tenant: a.Tenant, Name: a.Name, Bytes: a.stored()}
	if a.Source != "" {
		h.Objects = append(h.Objects, a.Source)
	}
	for _, s := range a.Subtitles {
		h.Objects = append(h.Objects, s.Object)
	}
	if a.Result != nil {
		h.Prefix = a.Result.Prefix
	}
	return h
}
