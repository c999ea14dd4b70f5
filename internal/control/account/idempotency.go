package account

import (
	"context"
	"errors"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

const (
	answerTime = 24 * time.Hour
	claimTime  = 5 * time.Minute
	// A tenant keeps so many answers of so many bytes; when there are more, the
	// older half is dropped.
	maxAnswers     = 2000
	maxAnswerBytes = 64 << 20
)

// Idempotency returns the keeper of answers for the API. Answers of all nodes are
// in one place.
func (s *Service) Idempotency() web.Idempotency { return answers{s} }

type answers struct{ s *Service }

func (a answers) Claim(ctx context.Context, tenant, name string) (answer []byte, err error) {
	err = a.s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		answer = nil
		now := a.s.now()
		var kept []byte
		var claimed int64
		err := tx.QueryRow("SELECT answer, claimed FROM answers WHERE tenant = ? AND name = ?", tenant, name).Scan(&kept, &claimed)
		age := now.Sub(store.FromTime(claimed))
		switch {
		case errors.Is(err, store.ErrNoRows):
			if err := makeRoom(tx, tenant); err != nil {
				return err
			}
		case err != nil:
			return err
		case kept != nil && age < answerTime:
			answer = kept
			return nil
		case kept == nil && age < claimTime:
			return fault.New(fault.Conflict, "a request with this Idempotency-Key is still running: wait for its answer")
		}
		_, err = tx.Exec(`INSERT INTO answers (tenant, name, answer, size, claimed) VALUES (?, ?, NULL, 0, ?)
ON CONFLICT (tenant, name) DO UPDATE SET answer = NULL, size = 0, claimed = excluded.claimed`, tenant, name, store.Time(now))
		return err
	})
	return answer, err
}

// makeRoom drops the older half of a tenant's answers when there are too many.
func makeRoom(tx *store.Tx, tenant string) error {
	var count, size int64
	if err := tx.QueryRow("SELECT count(*), coalesce(sum(size), 0) FROM answers WHERE tenant = ?", tenant).Scan(&count, &size); err != nil {
		return err
	}
	if count < maxAnswers && size < maxAnswerBytes {
		return nil
	}
	_, err := tx.Exec(`DELETE FROM answers WHERE tenant = ? AND answer IS NOT NULL AND name IN
(SELECT name FROM answers WHERE tenant = ? AND answer IS NOT NULL ORDER BY claimed LIMIT ?)`, tenant, tenant, count/2+1)
	return err
}

func (a answers) Keep(ctx context.Context, tenant, name string, answer []byte) error {
	return a.s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE answers SET answer = ?, size = ? WHERE tenant = ? AND name = ?", answer, len(answer), tenant, name)
		return err
	})
}

func (a answers) Release(ctx context.Context, tenant, name string) error {
	return a.s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM answers WHERE tenant = ? AND name = ? AND answer IS NULL", tenant, name)
		return err
	})
}
