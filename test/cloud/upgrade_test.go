package cloud

import (
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"liuyun/client"
	"liuyun/internal/testkit"
)

// earlier makes a data folder as the first version with a server left it.
func earlier(t *testing.T) string {
	t.Helper()
	fixture := filepath.Join(testkit.Root(t), "internal", "app", "testdata", "format1")
	data := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(filepath.Join(data, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	zipped, err := os.Open(filepath.Join(fixture, "liuyun.db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer zipped.Close()
	r, err := gzip.NewReader(zipped)
	if err != nil {
		t.Fatal(err)
	}
	records, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(fixture, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(data, "store", "liuyun.db"), string(records))
	writeFile(t, filepath.Join(data, "admin.key"), string(key))
	writeFile(t, filepath.Join(data, "FORMAT"), "liuyun data 1\n")
	return data
}

// A server starts on the data of an earlier version: its keys open, its assets and
// webhooks are there, and it takes new ones.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	n := resume(t, earlier(t))
	var assets, keys, webhooks []string
	old := client.Asset{}
	for a, err := range n.Assets.List(t.Context(), client.AssetFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		assets = append(assets, a.Name+" "+string(a.Status))
		old = a
	}
	for k, err := range n.Keys.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k.Name)
	}
	for w, err := range n.Webhooks.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		webhooks = append(webhooks, w.URL)
	}
	if want := []string{"junk.mp4 failed", "Harbour 港口.mp4 ready"}; !slices.Equal(assets, want) {
		t.Errorf("assets: got %q, want %q", assets, want)
	}
	if want := []string{"ci", "admin"}; !slices.Equal(keys, want) {
		t.Errorf("keys: got %q, want %q", keys, want)
	}
	if want := []string{"https://203.0.113.1/hook"}; !slices.Equal(webhooks, want) {
		t.Errorf("webhooks: got %q, want %q", webhooks, want)
	}
	if old.Duration != 1 || len(old.Renditions) == 0 || old.ReadyAt == nil {
		t.Errorf("an asset of the earlier version: %+v", old)
	}
	if status, _ := n.read(t, old.Playback.HLS); status != http.StatusNotFound { // its media is not in the fixture
		t.Errorf("status %d, want 404", status)
	}
	n.ready(t, n.upload(t, film(t), client.UploadOptions{Options: quick()}).ID)
	if status := n.Stop(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// Data of a newer version is refused, and says which one to install.
func TestDowngradeIsRefused(t *testing.T) {
	t.Parallel()
	data := earlier(t)
	writeFile(t, filepath.Join(data, "FORMAT"), "liuyun data 99\n")
	run := liuyun(t).Start(t, "serve", "--data", data, "--listen", "127.0.0.1:0")
	if result := run.Wait(); result.Status != 5 || result.Last().Code != "conflict" {
		t.Errorf("%v, want status 5, a conflict", result)
	}
}
