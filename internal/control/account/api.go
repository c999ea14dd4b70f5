package account

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

// Routes adds /v1/session, /v1/keys and /v1/tenants.
func (s *Service) Routes(api *web.API) {
	s.sessionRoutes(api)
	keys := func(id, method, path, summary string, status int) web.Op {
		return web.Op{ID: id, Method: method, Path: path, Tag: "Keys", Summary: summary, Scope: guard.KeysWrite, Status: status}
	}
	web.Add(api, keys("list-keys", http.MethodGet, "/v1/keys", "List API keys", http.StatusOK), s.listKeys)
	web.Add(api, keys("create-key", http.MethodPost, "/v1/keys", "Make an API key", http.StatusCreated), s.createKey)
	web.Add(api, keys("get-key", http.MethodGet, "/v1/keys/{id}", "Get an API key", http.StatusOK), s.getKey)
	web.Add(api, keys("delete-key", http.MethodDelete, "/v1/keys/{id}", "Delete an API key; it stops working at once", http.StatusNoContent), s.deleteKey)
	tenants := func(id, method, path, summary string, status int) web.Op {
		return web.Op{ID: id, Method: method, Path: path, Tag: "Tenants", Summary: summary, Scope: guard.Admin, Status: status}
	}
	web.Add(api, tenants("list-tenants", http.MethodGet, "/v1/tenants", "List tenants", http.StatusOK), s.listTenants)
	web.Add(api, tenants("create-tenant", http.MethodPost, "/v1/tenants", "Make a tenant", http.StatusCreated), s.createTenant)
	web.Add(api, tenants("get-tenant", http.MethodGet, "/v1/tenants/{id}", "Get a tenant", http.StatusOK), s.getTenant)
	web.Add(api, tenants("update-tenant", http.MethodPatch, "/v1/tenants/{id}", "Change a tenant", http.StatusOK), s.updateTenant)
	web.Add(api, tenants("delete-tenant", http.MethodDelete, "/v1/tenants/{id}", "Delete a tenant that holds nothing, with its keys", http.StatusNoContent), s.deleteTenant)
}

type pageOutput[T any] struct{ Body web.Page[T] }

type byID struct {
	ID string `path:"id" maxLength:"64"`
}

// page cuts what list found to limit, with the cursor of the next page.
func page[T any](found []T, limit int, cursor func(T) string) *pageOutput[T] {
	out := &pageOutput[T]{Body: web.Page[T]{Data: found}}
	if len(found) > limit {
		out.Body.Data = found[:limit]
		out.Body.Next = cursor(found[limit-1])
	}
	if out.Body.Data == nil {
		out.Body.Data = []T{}
	}
	return out
}

// before makes a cursor into what ids are compared with: the first page comes
// before everything.
func before(after string) string {
	if after == "" {
		return "~"
	}
	return after
}

func principal(ctx context.Context) guard.Principal {
	p, _ := guard.From(ctx)
	return p
}

type keyOutput struct{ Body Key }

func (s *Service) listKeys(ctx context.Context, in *struct{ web.PageQuery }) (*pageOutput[Key], error) {
	var found []Key
	err := s.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		found, err = list(tx, scanKey, "SELECT "+keyColumns+" FROM api_keys WHERE tenant = ? AND id < ? ORDER BY id DESC LIMIT ?",
			principal(ctx).Tenant, before(in.After), in.Limit+1)
		return err
	})
	return page(found, in.Limit, func(k Key) string { return k.ID }), err
}

// NewKey is what is asked for a key.
type NewKey struct {
	Name      string     `json:"name" minLength:"1" maxLength:"200"`
	Scopes    []string   `json:"scopes" minItems:"1" maxItems:"20" nullable:"false"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"For ever when it is left out."`
}

type createKeyInput struct{ Body NewKey }

// MadeKey is a key as the API shows it once.
type MadeKey struct {
	Key
	Secret string `json:"secret" doc:"Shown this once."`
}

type createKeyOutput struct{ Body MadeKey }

func (s *Service) createKey(ctx context.Context, in *createKeyInput) (*createKeyOutput, error) {
	p := principal(ctx)
	now := s.now()
	scopes := slices.Compact(slices.Sorted(slices.Values(in.Body.Scopes)))
	for _, scope := range scopes {
		if !slices.Contains(guard.Scopes(), scope) {
			return nil, fault.New(fault.Invalid, "there is no scope %.40q: choose from %s", scope, strings.Join(guard.Scopes(), ", "))
		}
		if !p.Allows(scope) {
			return nil, fault.New(fault.Forbidden, "the key %q lacks the scope %s, so it cannot give it to another", p.Name, scope)
		}
	}
	if in.Body.ExpiresAt != nil && !in.Body.ExpiresAt.After(now) {
		return nil, fault.New(fault.Invalid, "expires_at is in the past: choose a later time, or leave it out")
	}
	secret := newSecret()
	k := Key{ID: s.ids.New("key"), Name: in.Body.Name, Prefix: secret[:prefixLength], Scopes: scopes, CreatedAt: now.UTC().Truncate(time.Microsecond), ExpiresAt: in.Body.ExpiresAt}
	err := s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		if _, err := readTenant(tx, p.Tenant); err != nil {
			return err
		}
		return insertKey(tx, p.Tenant, hashOf(secret), false, k)
	})
	out := &createKeyOutput{}
	out.Body.Key, out.Body.Secret = k, secret
	return out, err
}

func (s *Service) getKey(ctx context.Context, in *byID) (*keyOutput, error) {
	out := &keyOutput{}
	err := s.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		out.Body, err = readKey(tx, principal(ctx).Tenant, in.ID)
		return err
	})
	return out, err
}

func (s *Service) deleteKey(ctx context.Context, in *byID) (*struct{}, error) {
	p := principal(ctx)
	err := s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		k, err := readKey(tx, p.Tenant, in.ID)
		if err != nil {
			return err
		}
		for _, scope := range k.Scopes {
			if !p.Allows(scope) {
				return fault.New(fault.Forbidden, "the key %q has the scope %s, which %q lacks: delete it with a key that has it", k.Name, scope, p.Name)
			}
		}
		tx.AfterCommit(s.forget)
		_, err = tx.Exec("DELETE FROM api_keys WHERE id = ?", k.ID)
		return err
	})
	return nil, err
}

type tenantOutput struct {
	ETag string `header:"ETag"`
	Body tenant
}

func shown(t tenant) *tenantOutput { return &tenantOutput{ETag: web.ETag(t.Rev), Body: t} }

func (s *Service) listTenants(ctx context.Context, in *struct{ web.PageQuery }) (*pageOutput[tenant], error) {
	var found []tenant
	err := s.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		found, err = list(tx, scanTenant, "SELECT "+tenantColumns+" FROM tenants WHERE id < ? ORDER BY id DESC LIMIT ?", before(in.After), in.Limit+1)
		return err
	})
	return page(found, in.Limit, func(t tenant) string { return t.ID }), err
}

type tenantBody struct {
	Name string `json:"name" minLength:"1" maxLength:"200"`
}

func (s *Service) createTenant(ctx context.Context, in *struct{ Body tenantBody }) (*tenantOutput, error) {
	t := tenant{ID: s.ids.New("ten"), Name: in.Body.Name, CreatedAt: s.now().UTC().Truncate(time.Microsecond), Rev: 1}
	err := s.deps.DB.Write(ctx, func(tx *store.Tx) error { return insertTenant(tx, t) })
	return shown(t), err
}

func (s *Service) getTenant(ctx context.Context, in *byID) (*tenantOutput, error) {
	var t tenant
	err := s.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		t, err = readTenant(tx, in.ID)
		return err
	})
	return shown(t), err
}

type updateTenantInput struct {
	ID      string `path:"id" maxLength:"64"`
	IfMatch string `header:"If-Match" doc:"The ETag of what is meant; 412 when it has changed."`
	Body    tenantBody
}

func (s *Service) updateTenant(ctx context.Context, in *updateTenantInput) (*tenantOutput, error) {
	var t tenant
	err := s.deps.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if t, err = readTenant(tx, in.ID); err != nil {
			return err
		}
		if err := web.CheckMatch(in.IfMatch, t.Rev); err != nil {
			return err
		}
		t.Name = in.Body.Name
		t.Rev++
		_, err = tx.Exec("UPDATE tenants SET name = ?, rev = ? WHERE id = ?", t.Name, t.Rev, t.ID)
		return err
	})
	return shown(t), err
}

type deleteTenantInput struct {
	ID      string `path:"id" maxLength:"64"`
	IfMatch string `header:"If-Match" doc:"The ETag of what is meant; 412 when it has changed."`
}

func (s *Service) deleteTenant(ctx context.Context, in *deleteTenantInput) (*struct{}, error) {
	err := s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		t, err := readTenant(tx, in.ID)
		if err != nil {
			return err
		}
		if err := web.CheckMatch(in.IfMatch, t.Rev); err != nil {
			return err
		}
		own := 0
		if err := tx.QueryRow("SELECT count(*) FROM api_keys WHERE id = ? AND tenant = ?", principal(ctx).Key, t.ID).Scan(&own); err != nil {
			return err
		}
		if own > 0 {
			return fault.New(fault.Conflict, "the tenant %q is the one of the key that asks: use an admin key of another tenant", t.Name)
		}
		if s.deps.Holds != nil {
			held, err := s.deps.Holds(tx, t.ID)
			if err != nil {
				return err
			}
			if held != "" {
				return fault.New(fault.Conflict, "the tenant %q still has %s: delete them first", t.Name, held)
			}
		}
		if s.deps.Forget != nil {
			if err := s.deps.Forget(tx, t.ID); err != nil {
				return err
			}
		}
		tx.AfterCommit(s.forget)
		_, err = tx.Exec("DELETE FROM tenants WHERE id = ?", t.ID)
		return err
	})
	return nil, err
}
