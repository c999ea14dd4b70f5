package job

import (
	"context"
	"testing"
	"time"

	"liuyun/internal/kit/store"
)

// Where nothing is old, looking for it waits for no writer and holds none up.
func TestCleanOnlyReads(t *testing.T) {
	t.Parallel()
	db, b := open(t, t.TempDir())
	q := NewQueue(db, b, quiet())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := db.Write(t.Context(), func(*store.Tx) error { return q.clean(ctx, time.Now()) })
	if err != nil {
		t.Errorf("while another writes: %v", err)
	}
}
