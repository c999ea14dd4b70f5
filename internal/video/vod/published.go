package vod

import (
	"context"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/store"
)

// Published returns the prefix below which the files of an asset lie that viewers
// play, for those of its own tenant.
func (s *Service) Published(ctx context.Context, tenant, id string) (prefix string, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		a, err := findAsset(tx, tenant, id)
		if err != nil {
			return err
		}
		if a.Status != Ready || a.Result == nil {
			return fault.New(fault.Conflict, "asset %q is not ready to be played", id)
		}
		prefix = a.Result.Prefix
		return nil
	})
	return prefix, err
}
