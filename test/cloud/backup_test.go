package cloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"liuyun/client"
)

// told is what backup and restore tell under --json.
type told struct {
	Type    string `json:"type"`
	Assets  int    `json:"assets"`
	Objects int    `json:"objects"`
	Missing []struct {
		ID string `json:"id"`
	} `json:"missing_media"`
}

// tell runs a command and returns what it told last.
func tell(t *testing.T, arguments ...string) (last told) {
	t.Helper()
	command := exec.CommandContext(t.Context(), liuyun(t).Path, append(arguments, "--json", "--quiet")...)
	out, err := command.Output()
	if err != nil {
		t.Fatalf("liuyun %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	if err := json.Unmarshal(out, &last); err != nil {
		t.Fatalf("liuyun %s: %q: %v", strings.Join(arguments, " "), out, err)
	}
	return last
}

// A cloud is backed up while it encodes, and goes on elsewhere from the backup:
// what was ready plays, and what was not becomes so.
func TestBackup(t *testing.T) {
	t.Parallel()
	n := start(t)
	source := film(t)
	done := n.ready(t, n.upload(t, source, client.UploadOptions{Name: "done", Options: quick()}).ID)
	going := n.upload(t, source, client.UploadOptions{Name: "going", Options: slow()})
	n.until(t, going.ID, "being encoded", func(a client.Asset) bool { return a.Phase == "encode" || a.Status.Ended() })

	backups := t.TempDir()
	all, state := filepath.Join(backups, "all"), filepath.Join(backups, "state")
	// The one that has to see it unfinished comes first: one with media takes its time.
	if got := tell(t, "backup", state, "--data", n.Data); got.Assets != 2 || len(got.Missing) > 0 {
		t.Errorf("backup without media: %+v", got)
	}
	if got := tell(t, "backup", all, "--data", n.Data, "--media"); got.Type != "backup" || got.Assets != 2 || len(got.Missing) > 0 {
		t.Errorf("backup with media: %+v", got)
	}
	n.ready(t, going.ID)
	n.Kill()

	data := filepath.Join(t.TempDir(), "restored")
	if got := tell(t, "restore", all, "--data", data); got.Type != "restore" || got.Assets != 2 || len(got.Missing) > 0 {
		t.Errorf("restore with media: %+v", got)
	}
	restored := resume(t, data)
	if restored.Key != n.Key {
		t.Error("the admin key is another one")
	}
	restored.plays(t, done.Playback.HLS, 300)
	restored.ready(t, going.ID)
	sameMedia(t, restored.result(t, going.ID), n.result(t, going.ID))
	restored.withoutMedia(t, state, done)
}

// withoutMedia restores a backup that has no media. Who plays an asset of it is
// told what is wrong.
func (n node) withoutMedia(t *testing.T, backup string, ready client.Asset) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "state")
	if got := tell(t, "restore", backup, "--data", data); got.Assets != 2 || len(got.Missing) != 2 {
		t.Errorf("restore without media: %+v", got)
	}
	bare := resume(t, data)
	if status, body := bare.read(t, ready.Playback.HLS); status != http.StatusNotFound || !strings.Contains(string(body), "from a backup") {
		t.Errorf("an asset without media: status %d, %q", status, body)
	}
	a := bare.until(t, firstOther(t, bare, ready.ID), "failed", func(a client.Asset) bool { return a.Status.Ended() })
	if a.Status != client.Failed || a.Failure == nil || !strings.Contains(a.Failure.Message, "upload it again") {
		t.Errorf("an asset that lost its source: %s %+v", a.Status, a.Failure)
	}
	// Its files brought back are all that it takes.
	from, to := filepath.Join(n.Data, "blob", "assets", ready.ID), filepath.Join(data, "blob", "assets", ready.ID)
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	bare.plays(t, ready.Playback.HLS, 300)
}

// firstOther is an asset with another id.
func firstOther(t *testing.T, n node, id string) string {
	t.Helper()
	for a, err := range n.Assets.List(t.Context(), client.AssetFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if a.ID != id {
			return a.ID
		}
	}
	t.Fatal("there is no other asset")
	return ""
}

// Backups are made while assets come and go: each has the media of all assets that
// are in it.
func TestBackupsWhileAssetsComeAndGo(t *testing.T) {
	t.Parallel()
	n := start(t, "--roles", "control")
	stop, group := make(chan struct{}), sync.WaitGroup{}
	defer group.Wait()
	defer close(stop)
	for worker := range 3 {
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("%d-%d", worker, i)
				a, err := n.Upload(t.Context(), strings.NewReader(strings.Repeat(name, 1000)), int64(1000*len(name)), client.UploadOptions{Name: name})
				if err == nil && i%3 > 0 {
					err = n.Assets.Delete(t.Context(), a.ID)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	folder := t.TempDir()
	for i := range 4 {
		backup, data := filepath.Join(folder, fmt.Sprint("backup", i)), filepath.Join(folder, fmt.Sprint("data", i))
		wrote := tell(t, "backup", backup, "--data", n.Data, "--media")
		got := tell(t, "restore", backup, "--data", data)
		if len(wrote.Missing) > 0 || len(got.Missing) > 0 || got.Assets != wrote.Assets {
			t.Errorf("backup %+v, restored %+v", wrote, got)
		}
		t.Logf("%d assets, %d objects", got.Assets, wrote.Objects)
	}
}

// Killed anywhere, neither a backup nor a restore leaves something that looks like
// one, and each is done by the same command.
func TestBackupKilled(t *testing.T) {
	t.Parallel()
	n := start(t, "--roles", "control")
	const size = 200 << 10
	for i := range 30 {
		a, err := n.Upload(t.Context(), strings.NewReader(strings.Repeat("0", size)), size, client.UploadOptions{Name: itoa(i)})
		if err != nil {
			t.Fatal(a, err)
		}
	}
	folder := t.TempDir()
	backup, data := filepath.Join(folder, "backup"), filepath.Join(folder, "data")
	killedUntilDone(t, filepath.Join(backup, "backup.json"), "backup", backup, "--data", n.Data, "--media")
	killedUntilDone(t, filepath.Join(data, "FORMAT"), "restore", backup, "--data", data)
	restored := resume(t, data, "--roles", "control")
	all := 0
	for a, err := range restored.Assets.List(t.Context(), client.AssetFilter{}) {
		if err != nil || a.Size != size {
			t.Fatal(a, err)
		}
		if info, err := os.Stat(filepath.Join(data, "blob", "assets", a.ID, "source")); err != nil || info.Size() != size {
			t.Errorf("source of %s: %v %v", a.ID, info, err)
		}
		all++
	}
	if all != 30 {
		t.Errorf("%d assets, want 30", all)
	}
}
