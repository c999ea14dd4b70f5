package job

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"liuyun/internal/kit/store"
)

const childEnv = "JOB_TEST_FOLDER"

// TestChild is the process that TestKill kills: bus, queue and worker in one.
func TestChild(t *testing.T) {
	folder := os.Getenv(childEnv)
	if folder == "" {
		t.Skip("runs as the child of TestKill")
	}
	db, b := open(t, folder)
	q := NewQueue(db, b, quiet())
	component(t, q.Run)
	w := (&bench{q, t}).worker("w", 2, func(_ context.Context, l *Lease) (any, error) {
		fmt.Println("began")
		time.Sleep(5 * time.Millisecond) // work
		return l.Name, nil
	})
	component(t, w.Run)
	select {}
}

// Every job is done, whenever the process with bus, queue and worker is killed,
// and at most what was in hand is begun again.
func TestKill(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	db, b := openAs(t, folder, t.TempDir())
	setup := &bench{NewQueue(db, b, quiet()), t}
	var specs []Spec
	for i := range 40 {
		specs = append(specs, spec(fmt.Sprint(i)))
	}
	setup.add(specs...)
	const kills = 3
	begun := 0
	for range kills {
		begun += killAfter(t, folder, 10)
	}
	q := NewQueue(db, b, quiet())
	component(t, q.Run)
	last := &bench{q, t}
	done := make(chan struct{}, 100)
	component(t, last.worker("w", 2, func(context.Context, *Lease) (any, error) { done <- struct{}{}; return nil, nil }).Run)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var unfinished int
		if err := db.Read(t.Context(), func(tx *store.Tx) error {
			return tx.QueryRow(`SELECT count(*) FROM jobs WHERE state <> 'done'`).Scan(&unfinished)
		}); err != nil {
			t.Fatal(err)
		}
		if unfinished == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d jobs are not done", unfinished)
		}
	}
	if total := begun + len(done); total > len(specs)+2*kills {
		t.Errorf("%d attempts for %d jobs and %d kills of two slots", total, len(specs), kills)
	}
}

// killAfter kills a child that has begun n jobs, and returns how many it had.
func killAfter(t *testing.T, folder string, n int) (begun int) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestChild$")
	child.Env = append(os.Environ(), childEnv+"="+folder)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		if scanner.Text() == "began" {
			if begun++; begun == n {
				child.Process.Kill()
			}
		}
	}
	child.Wait()
	return begun
}
