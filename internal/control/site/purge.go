package site

import (
	"context"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/store"
)

// purge has all edges purge something, and returns it with its revision.
func (s *Service) purge(ctx context.Context, tenant string, p edge.Purge) (made purgeRecord, err error) {
	err = s.deps.DB.Write(ctx, func(tx *store.Tx) (err error) {
		made, err = s.addPurge(tx, tenant, p)
		return err
	})
	return made, err
}

func (s *Service) addPurge(tx *store.Tx, tenant string, p edge.Purge) (purgeRecord, error) {
	before, next, err := s.begin(tx)
	if err != nil {
		return purgeRecord{}, err
	}
	p.Revision = next.revision
	made := purgeRecord{p, s.moment()}
	_, err = tx.Exec("INSERT INTO purges (rev, tenant, site, kind, value, hard, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
		p.Revision, tenant, p.Site, p.Kind, p.Value, number(p.Hard), store.Time(made.Created))
	if err != nil {
		return purgeRecord{}, err
	}
	return made, s.commit(tx, before, next, edge.Delta{Purges: []edge.Purge{p}})
}

// moment is now as records keep it, so that what is shown of a thing when it is made is
// what is read later.
func (s *Service) moment() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// purgeRecord is a purge as it is kept.
type purgeRecord struct {
	edge.Purge
	Created time.Time
}

func queryPurges(tx *store.Tx, where string, args ...any) (list []purgeRecord, err error) {
	rows, err := tx.Query("SELECT rev, site, kind, value, hard, created FROM purges "+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p purgeRecord
		var hard, created int64
		if err := rows.Scan(&p.Revision, &p.Site, &p.Kind, &p.Value, &hard, &created); err != nil {
			return nil, err
		}
		p.Hard, p.Created = hard != 0, store.FromTime(created)
		list = append(list, p)
	}
	return list, rows.Err()
}

// getPurge returns a purge of a site.
func getPurge(tx *store.Tx, site string, revision int64) (purgeRecord, error) {
	list, err := queryPurges(tx, "WHERE site = ? AND rev = ?", site, revision)
	if err == nil && len(list) == 0 {
		err = fault.New(fault.NotFound, "there is no such purge; only the last %d are known", mostPurges)
	}
	if err != nil {
		return purgeRecord{}, err
	}
	return list[0], nil
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
