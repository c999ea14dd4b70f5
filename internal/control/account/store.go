package account

import (
	"errors"
	"strings"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/store"
)

// tenant is a tenant as the API shows it.
type tenant struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
	Rev       int64     `json:"rev"`
}

// Key is an API key as the API shows it. It is exported for the document, which
// sees only exported fields.
type Key struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Prefix     string     `json:"prefix" doc:"How the secret begins."`
	Scopes     []string   `json:"scopes" nullable:"false"`
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at" doc:"To a minute."`
	ExpiresAt  *time.Time `json:"expires_at"`
}

type scanner interface{ Scan(to ...any) error }

const tenantColumns = "id, name, created, rev"

func scanTenant(row scanner) (t tenant, err error) {
	var created int64
	err = row.Scan(&t.ID, &t.Name, &created, &t.Rev)
	t.CreatedAt = store.FromTime(created)
	return t, err
}

func readTenant(tx *store.Tx, id string) (tenant, error) {
	t, err := scanTenant(tx.QueryRow("SELECT "+tenantColumns+" FROM tenants WHERE id = ?", id))
	if errors.Is(err, store.ErrNoRows) {
		err = fault.New(fault.NotFound, "there is no tenant %.60q; GET /v1/tenants lists them", id)
	}
	return t, err
}

func insertTenant(tx *store.Tx, t tenant) error {
	_, err := tx.Exec("INSERT INTO tenants ("+tenantColumns+") VALUES (?, ?, ?, ?)", t.ID, t.Name, store.Time(t.CreatedAt), t.Rev)
	return err
}

const keyColumns = "id, name, prefix, scopes, created, last_used, expires"

func scanKey(row scanner) (k Key, err error) {
	var scopes string
	var created, used, expires int64
	err = row.Scan(&k.ID, &k.Name, &k.Prefix, &scopes, &created, &used, &expires)
	k.Scopes = strings.Fields(scopes)
	k.CreatedAt = store.FromTime(created)
	k.LastUsedAt, k.ExpiresAt = optional(used), optional(expires)
	return k, err
}

func optional(micros int64) *time.Time {
	if micros == 0 {
		return nil
	}
	t := store.FromTime(micros)
	return &t
}

func readKey(tx *store.Tx, tenant, id string) (Key, error) {
	k, err := scanKey(tx.QueryRow("SELECT "+keyColumns+" FROM api_keys WHERE tenant = ? AND id = ?", tenant, id))
	if errors.Is(err, store.ErrNoRows) {
		err = fault.New(fault.NotFound, "there is no key %.60q; GET /v1/keys lists them", id)
	}
	return k, err
}

// insertKey adds a key of a tenant. First marks the one that admin.key holds.
func insertKey(tx *store.Tx, tenant, hash string, first bool, k Key) error {
	expires := int64(0)
	if k.ExpiresAt != nil {
		expires = store.Time(*k.ExpiresAt)
	}
	_, err := tx.Exec("INSERT INTO api_keys (tenant, hash, first, "+keyColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
		tenant, hash, first, k.ID, k.Name, k.Prefix, strings.Join(k.Scopes, " "), store.Time(k.CreatedAt), expires)
	return err
}

// list reads a page: one more than limit, to know whether another follows.
func list[T any](tx *store.Tx, scan func(scanner) (T, error), query string, args ...any) (found []T, err error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, rows.Err()
}
