package vod

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/worker"
	"liuyun/internal/kit/store"
)

// Migrations are the tables of assets.
func Migrations() store.Migrations {
	return store.Migrations{Set: "vod", Steps: []store.Step{
		{SQL: `
			CREATE TABLE assets (
				id TEXT PRIMARY KEY,
				tenant TEXT NOT NULL,
				name TEXT NOT NULL,
				status TEXT NOT NULL,
				error TEXT NOT NULL,
				policy TEXT NOT NULL,
				options TEXT NOT NULL,
				received BIGINT NOT NULL,
				size BIGINT NOT NULL,
				stored BIGINT NOT NULL,
				source TEXT NOT NULL,
				address TEXT NOT NULL,
				subtitles TEXT NOT NULL,
				job TEXT NOT NULL,
				version BIGINT NOT NULL,
				result TEXT NOT NULL,
				garbage TEXT NOT NULL,
				created BIGINT NOT NULL,
				updated BIGINT NOT NULL,
				ready BIGINT NOT NULL,
				touched BIGINT NOT NULL,
				deleted BIGINT NOT NULL,
				rev BIGINT NOT NULL
			);
			CREATE INDEX assets_by_tenant ON assets (tenant, deleted, id);
			CREATE INDEX assets_by_status ON assets (tenant, deleted, status, id);
			CREATE INDEX assets_unfinished ON assets (status, touched);
			CREATE INDEX assets_deleted ON assets (deleted) WHERE deleted > 0;
			CREATE INDEX assets_garbage ON assets (garbage) WHERE garbage <> 'null';`},
		store.TextIndex("assets", "name"),
		{
			SQLite:   `CREATE TABLE playback_secrets (number BIGINT PRIMARY KEY, secret BLOB NOT NULL)`,
			Postgres: `CREATE TABLE playback_secrets (number BIGINT PRIMARY KEY, secret BYTEA NOT NULL)`,
		},
		{SQL: `CREATE INDEX assets_stored ON assets (tenant, deleted, stored)`},
		{SQL: `ALTER TABLE assets ADD COLUMN recorded TEXT NOT NULL DEFAULT 'null'`},
		{SQL: `CREATE TABLE asset_spent (
			asset TEXT PRIMARY KEY,
			cpu DOUBLE PRECISION NOT NULL,
			cost DOUBLE PRECISION,
			energy DOUBLE PRECISION,
			carbon DOUBLE PRECISION
		)`},
		{SQL: `ALTER TABLE assets ADD COLUMN comparison TEXT NOT NULL DEFAULT 'null'`},
	}}
}

const assetColumns = `id, tenant, name, status, error, policy, options, received, size, stored, source, address, subtitles,
	job, version, result, garbage, created, updated, ready, touched, deleted, rev, recorded, comparison`

// readColumns are those of an asset with what was spent on it, of fromAssets.
const (
	readColumns = assetColumns + `, cpu, cost, energy, carbon`
	fromAssets  = ` FROM assets LEFT JOIN asset_spent ON asset_spent.asset = assets.id `
)

type scanner interface{ Scan(...any) error }

func scanAsset(row scanner) (*asset, error) {
	var a asset
	var failure, options, subtitles, result, garbage, recorded, comparison string
	var stored, created, updated, ready, touched, deleted int64
	var spent worker.Spent
	var cpu *float64
	err := row.Scan(&a.ID, &a.Tenant, &a.Name, &a.Status, &failure, &a.Policy, &options, &a.Received, &a.Size, &stored, &a.Source, &a.Address, &subtitles,
		&a.Job, &a.Version, &result, &garbage, &created, &updated, &ready, &touched, &deleted, &a.Rev, &recorded, &comparison, &cpu, &spent.Cost, &spent.Energy, &spent.Carbon)
	if err != nil {
		return nil, err
	}
	for _, document := range []struct {
		text string
		into any
	}{{failure, &a.Error}, {options, &a.Options}, {subtitles, &a.Subtitles}, {result, &a.Result}, {garbage, &a.Garbage}, {recorded, &a.Recorded}, {comparison, &a.Comparison}} {
		if err := json.Unmarshal([]byte(document.text), document.into); err != nil {
			return nil, fmt.Errorf("asset %s: %w", a.ID, err)
		}
	}
	if cpu != nil {
		spent.CPU = *cpu
		a.Spent = &spent
	}
	a.Created, a.Updated, a.ReadyAt = store.FromTime(created), store.FromTime(updated), store.FromTime(ready)
	a.Touched, a.Deleted = store.FromTime(touched), store.FromTime(deleted)
	return &a, nil
}

func (a *asset) values() []any {
	return []any{a.Tenant, a.Name, a.Status, encoded(a.Error), a.Policy, encoded(a.Options), a.Received, a.Size, a.stored(), a.Source, a.Address, encoded(a.Subtitles),
		a.Job, a.Version, encoded(a.Result), encoded(a.Garbage), store.Time(a.Created), store.Time(a.Updated), store.Time(a.ReadyAt), store.Time(a.Touched), store.Time(a.Deleted), a.Rev, encoded(a.Recorded), encoded(a.Comparison)}
}

func insertAsset(tx *store.Tx, a *asset) error {
	_, err := tx.Exec(`INSERT INTO assets (`+assetColumns+`) VALUES (?`+strings.Repeat(`, ?`, 24)+`)`, append([]any{a.ID}, a.values()...)...)
	return err
}

// saveAsset writes all of a record. Who read it in the same transaction may.
func saveAsset(tx *store.Tx, a *asset) error {
	columns := strings.Split(strings.Join(strings.Fields(assetColumns), ""), ",")[1:]
	_, err := tx.Exec(`UPDATE assets SET `+strings.Join(columns, ` = ?, `)+` = ? WHERE id = ?`, append(a.values(), a.ID)...)
	return err
}

// findAsset returns an asset that is not deleted. The tenant "" is any.
func findAsset(tx *store.Tx, tenant, id string) (*asset, error) {
	a, err := anyAsset(tx, id)
	if err != nil {
		return nil, err
	}
	if !a.Deleted.IsZero() || (tenant != "" && a.Tenant != tenant) {
		return nil, noAsset(id)
	}
	return a, nil
}

// anyAsset returns an asset, deleted or not.
func anyAsset(tx *store.Tx, id string) (*asset, error) {
	a, err := scanAsset(tx.QueryRow(`SELECT `+readColumns+fromAssets+`WHERE id = ?`, id))
	if errors.Is(err, store.ErrNoRows) {
		return nil, noAsset(id)
	}
	return a, err
}

func noAsset(id string) error { return fault.New(fault.NotFound, "there is no asset %q", id) }

// assetFilter chooses assets of one tenant.
type assetFilter struct {
	status Status // "" is any
	text   string // in the name
	after  string // id of the last one of the page before
	limit  int
}

// listAssets returns assets, newest first.
func listAssets(tx *store.Tx, tenant string, f assetFilter) ([]*asset, error) {
	where, args := []string{`tenant = ?`, `deleted = 0`}, []any{tenant}
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	if f.status != "" {
		add(`status = ?`, f.status)
	}
	if f.after != "" {
		add(`id < ?`, f.after)
	}
	if f.text != "" {
		condition, values := tx.Match("assets", "name", f.text)
		add(condition, values...)
	}
	return queryAssets(tx, `WHERE `+strings.Join(where, ` AND `)+` ORDER BY id DESC LIMIT ?`, append(args, f.limit)...)
}

func queryAssets(tx *store.Tx, rest string, args ...any) ([]*asset, error) {
	rows, err := tx.Query(`SELECT `+readColumns+fromAssets+rest, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []*asset
	for rows.Next() {
		a, err := scanAsset(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, rows.Err()
}

// stored is how many bytes are kept for the asset. The column is for sums.
func (a *asset) stored() int64 {
	sum := a.Received
	if a.Result != nil {
		sum += a.Result.Stored
	}
	if a.Comparison != nil {
		sum += a.Comparison.Stored
	}
	return sum
}

// Stored sums what a tenant keeps, or with "" each of them, in bytes.
func Stored(tx *store.Tx, tenant string) (map[string]int64, error) {
	rows, err := tx.Query(`SELECT tenant, CAST(SUM(stored) AS BIGINT) FROM assets WHERE deleted = 0 AND (? = '' OR tenant = ?) GROUP BY tenant`, tenant, tenant)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	sums := make(map[string]int64)
	for rows.Next() {
		var tenant string
		var sum int64
		if err := rows.Scan(&tenant, &sum); err != nil {
			return nil, err
		}
		sums[tenant] = sum
	}
	return sums, rows.Err()
}

// Holds says which assets keep a tenant from being deleted, or "".
func Holds(tx *store.Tx, tenant string) (string, error) {
	var count int64
	err := tx.QueryRow(`SELECT COUNT(*) FROM assets WHERE tenant = ?`, tenant).Scan(&count)
	switch {
	case err != nil || count == 0:
		return "", err
	case count == 1:
		return "1 asset", nil
	}
	return fmt.Sprintf("%d assets", count), nil
}
