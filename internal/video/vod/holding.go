package vod

import (
	"encoding/json"
	"errors"
	"fmt"

	"liuyun/internal/kit/store"
)

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
		list, err := heldAssets(tx, last)
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

// heldAssets reads of assets what holding needs, and no more: the records may be those
// of an earlier version, which a backup does not change.
func heldAssets(tx *store.Tx, after string) ([]*asset, error) {
	rows, err := tx.Query(`SELECT id, tenant, name, status, received, source, subtitles, result FROM assets
		WHERE deleted = 0 AND id > ? ORDER BY id LIMIT ?`, after, holdingBatch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []*asset
	for rows.Next() {
		var a asset
		var subtitles, result string
		if err := rows.Scan(&a.ID, &a.Tenant, &a.Name, &a.Status, &a.Received, &a.Source, &subtitles, &result); err != nil {
			return nil, err
		}
		if err := errors.Join(json.Unmarshal([]byte(subtitles), &a.Subtitles), json.Unmarshal([]byte(result), &a.Result)); err != nil {
			return nil, fmt.Errorf("asset %s: %w", a.ID, err)
		}
		list = append(list, &a)
	}
	return list, rows.Err()
}

func (a *asset) holding() Holding {
	h := Holding{Asset: a.ID, Tenant: a.Tenant, Name: a.Name, Bytes: a.stored()}
	if a.Status == Recording { // its segments belong to nobody until it is ready
		h.Bytes = 0
	}
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
