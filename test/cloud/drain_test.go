package cloud

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/kit/store"
	"liuyun/test/program"
)

// killedUntilDone starts a command again and again and kills it ever later, until
// it ends by itself. Before that there is no file that says that it is done.
func killedUntilDone(t *testing.T, sign string, arguments ...string) {
	t.Helper()
	wait := time.Duration(10+rand.IntN(10)) * time.Millisecond
	for kills := 0; ; kills++ {
		run := liuyun(t).Start(t, arguments...)
		if run.WaitAtMost(wait) {
			result := run.Wait()
			if _, err := os.Stat(sign); err != nil || result.Status != 0 {
				t.Fatalf("after %d kills: %v, %v", kills, result, err)
			}
			t.Logf("%s is done after %d kills", arguments[0], kills)
			return
		}
		run.Signal(syscall.SIGKILL)
		run.Wait()
		if _, err := os.Stat(sign); err == nil {
			t.Logf("%s was killed %d times, the last time after its last step", arguments[0], kills+1)
			return
		}
		wait += wait / 4
	}
}

// Asked to stop in the middle of an encode, while somebody follows its events, the
// server ends in good order: what it encoded is given back, and not counted as lost;
// the next start goes on with it.
func TestDrain(t *testing.T) {
	t.Parallel()
	n := start(t)
	source := film(t)
	want := encodeAlone(t, source, "--preset", "medium", "--ladder", "360,180")
	a := n.upload(t, source, client.UploadOptions{Options: slow()})
	n.follow(t)
	n.until(t, a.ID, "being encoded", func(a client.Asset) bool { return a.Phase == "encode" || a.Status.Ended() })
	if status := n.Stop(); status != 0 {
		t.Fatalf("exit status %d", status)
	}
	program.NoOrphans(t, n.Data)
	running, lost := n.heldJobs(t)
	if running != 0 || lost != 0 {
		t.Errorf("after the stop %d jobs are held and %d count as lost", running, lost)
	}
	n = resume(t, n.Data)
	n.ready(t, a.ID)
	sameMedia(t, n.result(t, a.ID), want)
}

// heldJobs looks into the records of a server that has stopped.
func (n node) heldJobs(t *testing.T) (running, lost int) {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(n.Data, "store"), store.DefaultConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow("SELECT coalesce(sum(CASE WHEN state = 'running' THEN 1 ELSE 0 END), 0), coalesce(sum(lost), 0) FROM jobs").Scan(&running, &lost)
	})
	if err != nil {
		t.Fatal(err)
	}
	return running, lost
}
