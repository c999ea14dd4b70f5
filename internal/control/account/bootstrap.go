package account

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/file"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
)

// A new admin key is first written to a file beside path, then recorded, then the
// file gets its name. A start after a kill in between finds the file, and the
// records tell whether the key in it is one.

// Bootstrap makes the tenant "default" and an admin key when there is no tenant
// yet, and writes the key to path, readable by its owner only. It ends what a kill
// interrupted. It is called by one process of a data folder, before requests are
// served; of several nodes with the same records one makes the key.
func (s *Service) Bootstrap(ctx context.Context, path string) error {
	if err := s.finish(ctx, path); err != nil {
		return err
	}
	exists := false
	err := s.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		exists, err = anyTenant(tx)
		return err
	})
	if err != nil || exists {
		return err
	}
	return s.makeAdmin(ctx, path, func(tx *store.Tx) (string, error) {
		if exists, err := anyTenant(tx); err != nil || exists {
			return "", errors.Join(err, errExists)
		}
		return s.firstTenant(tx)
	})
}

// ResetAdmin deletes the key that Bootstrap or ResetAdmin made last and writes a
// new one to path. Keys that people made stay.
func (s *Service) ResetAdmin(ctx context.Context, path string) error {
	if err := s.finish(ctx, path); err != nil {
		return err
	}
	return s.makeAdmin(ctx, path, func(tx *store.Tx) (string, error) {
		tenant := ""
		err := tx.QueryRow("SELECT id FROM tenants ORDER BY id LIMIT 1").Scan(&tenant)
		if errors.Is(err, store.ErrNoRows) {
			return s.firstTenant(tx)
		}
		if err == nil {
			_, err = tx.Exec("DELETE FROM api_keys WHERE first = ?", true)
		}
		tx.AfterCommit(s.forget)
		return tenant, err
	})
}

// errExists is that another node was first.
var errExists = errors.New("there is a tenant")

func anyTenant(tx *store.Tx) (bool, error) {
	count := 0
	err := tx.QueryRow("SELECT count(*) FROM tenants").Scan(&count)
	return count > 0, err
}

func (s *Service) firstTenant(tx *store.Tx) (string, error) {
	t := tenant{ID: s.ids.New("ten"), Name: "default", CreatedAt: s.now(), Rev: 1}
	return t.ID, insertTenant(tx, t)
}

// makeAdmin records an admin key in the tenant that prepare chooses, and writes
// it to path.
func (s *Service) makeAdmin(ctx context.Context, path string, prepare func(*store.Tx) (string, error)) error {
	secret := newSecret()
	if err := writeSynced(unfinished(path), secret+"\n"); err != nil {
		return keyFileFault(path, err)
	}
	err := s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		tenant, err := prepare(tx)
		if err != nil {
			return err
		}
		return insertKey(tx, tenant, hashOf(secret), true, Key{
			ID: s.ids.New("key"), Name: "admin", Prefix: secret[:prefixLength], Scopes: []string{guard.Admin}, CreatedAt: s.now(),
		})
	})
	switch {
	case errors.Is(err, errExists):
		return removeFile(unfinished(path))
	case err != nil: // the file stays: the key may have been recorded all the same
		return err
	}
	return publish(path)
}

// finish gives an unfinished file its name when its key is recorded, and removes
// it when not.
func (s *Service) finish(ctx context.Context, path string) error {
	text, err := os.ReadFile(unfinished(path))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return keyFileFault(path, err)
	}
	secret := strings.TrimSpace(string(text))
	_, err = s.lookup(ctx, secret, hashOf(secret), false)
	switch {
	case errors.Is(err, store.ErrNoRows):
		return removeFile(unfinished(path))
	case err != nil:
		return err
	}
	return publish(path)
}

func unfinished(path string) string { return path + ".new" }

func keyFileFault(path string, err error) error {
	return fault.Wrap(err, fault.Unavailable, "the admin key cannot be written to %s: check that the folder is yours and has room", path)
}

func writeSynced(path, text string) error {
	if err := removeFile(path); err != nil {
		return err
	}
	key, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = key.WriteString(text)
	return errors.Join(err, key.Sync(), key.Close(), file.SyncFolder(filepath.Dir(path)))
}

func publish(path string) error {
	if err := errors.Join(os.Rename(unfinished(path), path), file.SyncFolder(filepath.Dir(path))); err != nil {
		return keyFileFault(path, err)
	}
	return nil
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}
