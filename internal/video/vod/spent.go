package vod

import (
	"encoding/json"
	"errors"
	"fmt"

	"liuyun/internal/contract/encode"
	"liuyun/internal/contract/worker"
	"liuyun/internal/kit/job"
	"liuyun/internal/kit/store"
)

// AssetSpent is what the making of an asset took: all that its jobs used, each by the
// figures of the machine that it ran on. Tries that came to nothing are not in it.
type AssetSpent struct {
	worker.Spent
	Currency  string        `json:"currency" doc:"Of cost, ISO 4217."`
	PerMinute *worker.Spent `json:"per_minute" doc:"The same for a minute of video; null until it is ready."`
}

// spent is what the API shows of it.
func (a *asset) spent(currency string) *AssetSpent {
	if a.Spent == nil {
		return nil
	}
	s := &AssetSpent{Spent: *a.Spent, Currency: currency}
	if a.Result != nil && a.Result.Duration > 0 {
		s.PerMinute = new(a.Spent.Per(a.Result.Duration / 60))
	}
	return s
}

// addSpent counts work on an asset. What is not known of any of it is known of
// nothing from then on: SQL's NULL is ours. Work that took no time counts for
// nothing, known or not.
func addSpent(tx *store.Tx, asset string, s worker.Spent) error {
	if s.CPU <= 0 {
		return nil
	}
	_, err := tx.Exec(`INSERT INTO asset_spent (asset, cpu, cost, energy, carbon) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (asset) DO UPDATE SET cpu = asset_spent.cpu + excluded.cpu, cost = asset_spent.cost + excluded.cost,
			energy = asset_spent.energy + excluded.energy, carbon = asset_spent.carbon + excluded.carbon`,
		asset, s.CPU, orNull(s.Cost), orNull(s.Energy), orNull(s.Carbon))
	return err
}

func orNull(v *float64) any {
	if v == nil {
		return nil
	}
	return *v
}

// readSpent reads anew what was spent on the asset.
func (a *asset) readSpent(tx *store.Tx) error {
	var s worker.Spent
	err := tx.QueryRow(`SELECT cpu, cost, energy, carbon FROM asset_spent WHERE asset = ?`, a.ID).Scan(&s.CPU, &s.Cost, &s.Energy, &s.Carbon)
	switch {
	case errors.Is(err, store.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	a.Spent = &s
	return nil
}

// unitEnded counts what a unit of an asset took. The asset itself is not changed by
// it: nobody watches units.
func (s *Service) unitEnded(tx *store.Tx, j job.Job) error {
	if j.State != job.Done {
		return nil
	}
	var result encode.UnitResult
	if err := json.Unmarshal(j.Result, &result); err != nil {
		return fmt.Errorf("result of job %s: %w", j.ID, err)
	}
	spent := result.Spent
	spent.CPU = result.CPUSeconds // a worker of an earlier version says no more
	return addSpent(tx, j.Group, spent)
}
