// Package cloud runs the built program as a server, as real processes with a
// real data folder, and uses it only from outside: through the Go client, HTTP
// and ffmpeg. It kills what it can kill, and holds the server to what it
// acknowledged.
package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// patience bounds what is waited for. It judges nothing: machines are slow.
const patience = 3 * time.Minute

// node is a running server and a client with its admin key.
type node struct {
	*program.Server
	*client.Client
}

// start starts a whole cloud on a new data folder.
func start(t *testing.T, arguments ...string) node {
	t.Helper()
	return resume(t, filepath.Join(t.TempDir(), "data"), arguments...)
}

// resume starts a cloud on a data folder that may have been used before.
func resume(t *testing.T, data string, arguments ...string) node {
	t.Helper()
	s := liuyun(t).Serve(t, data, arguments...)
	c, err := client.New(s.URL, s.Key, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return node{s, c}
}

// film is a clip of three shots with its frames numbered, and no sound.
func film(t *testing.T) string {
	return testkit.Generate(t, testkit.Numbered("25", 300, 110, 210))
}

// quick are options that take little time.
func quick() *client.EncodeOptions {
	return &client.EncodeOptions{Preset: "ultrafast", Ladder: "180,90"}
}

// upload uploads the file at path.
func (n node) upload(t *testing.T, path string, o client.UploadOptions) client.Asset {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if o.Name == "" {
		o.Name = filepath.Base(path)
	}
	asset, err := n.Upload(t.Context(), file, info.Size(), o)
	if err != nil {
		t.Fatalf("upload: %v", err)
	}
	return asset
}

// until waits until an asset is as wanted.
func (n node) until(t *testing.T, id string, what string, wanted func(client.Asset) bool) client.Asset {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		asset, err := n.Assets.Get(ctx, id)
		if err == nil && wanted(asset) {
			return asset
		}
		select {
		case <-ctx.Done():
			t.Fatalf("asset %s is not %s after %s: %s %v %v", id, what, patience, asset.Status, asset.Failure, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ready waits until an asset is ready, and not failed.
func (n node) ready(t *testing.T, id string) client.Asset {
	t.Helper()
	asset := n.until(t, id, "ready", func(a client.Asset) bool { return a.Status.Ended() })
	if asset.Status != client.Ready {
		t.Fatalf("asset %s failed: %v", id, asset.Failure)
	}
	return asset
}

// compared waits until the comparison of an asset has a status.
func (n node) compared(t *testing.T, id, status string) client.AssetComparison {
	t.Helper()
	a := n.until(t, id, "a comparison that is "+status, func(a client.Asset) bool {
		return a.Comparison != nil && (a.Comparison.Status == status || a.Comparison.Status == "failed")
	})
	if a.Comparison.Status != status {
		t.Fatalf("the comparison failed: %v", a.Comparison.Failure)
	}
	return *a.Comparison
}

// read gets what an address of an asset gives.
func (n node) read(t *testing.T, address string) (status int, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.Resolve(address), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

// result is the folder, in the data folder, that holds what was made of an asset.
func (n node) result(t *testing.T, id string) string {
	t.Helper()
	reports, err := filepath.Glob(filepath.Join(n.Data, "blob", "assets", id, "*", "report.json"))
	if err != nil || len(reports) != 1 {
		t.Fatalf("asset %s has %d results, want 1", id, len(reports))
	}
	return filepath.Dir(reports[0])
}

// sameMedia compares every file of two results that players are given.
func sameMedia(t *testing.T, got, want string) {
	t.Helper()
	compared := 0
	err := filepath.WalkDir(want, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Base(path) == "report.json" {
			return err
		}
		name, err := filepath.Rel(want, path)
		if err != nil {
			return err
		}
		wanted, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		have, err := os.ReadFile(filepath.Join(got, name))
		if err != nil {
			return err
		}
		if !bytes.Equal(have, wanted) {
			return fmt.Errorf("%s has other bytes", name)
		}
		compared++
		return nil
	})
	if err != nil || compared < 8 {
		t.Errorf("after %d equal files: %v", compared, err)
	}
}

// encodeAlone makes the same on the command line.
func encodeAlone(t *testing.T, source string, arguments ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "alone")
	run := liuyun(t).Start(t, append([]string{"encode", source, "-o", dir}, arguments...)...)
	if result := run.Wait(); result.Status != 0 {
		t.Fatal(result)
	}
	return dir
}

// left lists what is in the blob store of an asset.
func (n node) left(t *testing.T, id string) []string {
	t.Helper()
	var names []string
	for _, folder := range []string{"assets", "units"} {
		root := filepath.Join(n.Data, "blob", folder, id)
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && !entry.IsDir() {
				names = append(names, strings.TrimPrefix(path, n.Data))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}
