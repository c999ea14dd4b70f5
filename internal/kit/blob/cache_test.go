package blob_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/blob/blobtest"
)

// counted counts how often objects are fetched. It hides that they lie on this disk.
type counted struct {
	blob.Store
	opened atomic.Int64
}

func (c *counted) Open(ctx context.Context, name string) (blob.Object, error) {
	c.opened.Add(1)
	return c.Store.Open(ctx, name)
}

func cached(t *testing.T, c *blob.Cache, name string) []byte {
	t.Helper()
	file, err := c.File(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	content, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestCache(t *testing.T) {
	t.Parallel()
	source := &counted{Store: newFS(t, t.TempDir())}
	folder := t.TempDir()
	newCache := func() *blob.Cache {
		c, err := blob.NewCache(source, folder, 2500, blob.Reserve{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := newCache()
	want := make(map[string][]byte)
	put := func(name string, seed uint64, size int) {
		want[name] = blobtest.Bytes(size, seed)
		if _, err := source.Put(t.Context(), name, bytes.NewReader(want[name])); err != nil {
			t.Fatal(err)
		}
	}
	get := func(c *blob.Cache, name string, fetched int64) {
		t.Helper()
		before := source.opened.Load()
		if got := cached(t, c, name); !bytes.Equal(got, want[name]) {
			t.Errorf("%s: other bytes", name)
		}
		if got := source.opened.Load() - before; got != fetched {
			t.Errorf("%s was fetched %d times, want %d", name, got, fetched)
		}
	}
	put("a", 1, 1000)
	put("b", 2, 1000)
	put("c", 3, 1000)
	get(c, "a", 1)
	get(c, "b", 1)
	get(c, "a", 0)
	get(c, "c", 1) // b was not used longest
	get(c, "a", 0)
	get(c, "b", 1)
	get(c, "c", 1)
	put("c", 4, 1000)
	get(c, "c", 1) // replaced
	put("large", 5, 9000)
	get(c, "large", 1)
	get(c, "large", 0)
	get(c, "a", 1)

	// A crash left one half-fetched and one cut.
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for _, entry := range entries {
		if err := os.Truncate(filepath.Join(folder, entry.Name()), 10); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "x.part"), []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	c = newCache()
	get(c, "a", 1)
	get(newCache(), "a", 0)
	if found, _ := filepath.Glob(filepath.Join(folder, "*.part")); len(found) > 0 {
		t.Errorf("%q are left", found)
	}
}

func TestCacheFetchesOnce(t *testing.T) {
	t.Parallel()
	source := &counted{Store: newFS(t, t.TempDir())}
	if _, err := source.Put(t.Context(), "x", strings.NewReader("hello")); err != nil {
		t.Fatal(err)
	}
	c, err := blob.NewCache(source, t.TempDir(), 1<<20, blob.Reserve{})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			file, err := c.File(t.Context(), "x")
			if err != nil {
				t.Error(err)
				return
			}
			file.Close()
		})
	}
	group.Wait()
	if got := source.opened.Load(); got != 1 {
		t.Errorf("fetched %d times", got)
	}
}

func TestCacheOfLocalStoreCopiesNothing(t *testing.T) {
	t.Parallel()
	source, folder := newFS(t, t.TempDir()), t.TempDir()
	if _, err := source.Put(t.Context(), "x", strings.NewReader("hello")); err != nil {
		t.Fatal(err)
	}
	c, err := blob.NewCache(source, folder, 1<<20, blob.Reserve{})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(cached(t, c, "x")); got != "hello" {
		t.Errorf("got %q", got)
	}
	if entries, _ := os.ReadDir(folder); len(entries) > 0 {
		t.Errorf("the cache holds %d files", len(entries))
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	good := blob.DefaultConfig()
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for i, change := range []func(*blob.Config){
		func(c *blob.Config) { c.ReservePercent = 60 },
		func(c *blob.Config) { c.CacheBytes = 1 },
		func(c *blob.Config) { c.URL = "s3://bucket" }, // without keys
		func(c *blob.Config) { c.URL = "http://x" },
		func(c *blob.Config) { c.URL = "s3://u:hunter2@bucket" },
		func(c *blob.Config) { c.URL = "s3://bucket?endpoint=hunter2" },
		func(c *blob.Config) { c.URL = "s3://bucket?secret=hunter2" },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%d: got %v", i, err)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, seed := range []string{"a/b", "..", "a/../b", "/a", "a//b", "\x00", ".tmp/x", "a/", "ü", "a\\b"} {
		f.Add(seed)
	}
	root, err := os.OpenRoot(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if blob.CheckName(name) != nil {
			return
		}
		if !filepath.IsLocal(name) || filepath.Clean(name) != name || len(name) > 512 || name[0] == '.' {
			t.Errorf("%q passed", name)
		}
		if err := root.MkdirAll(name, 0o755); err != nil {
			t.Errorf("%q passed and cannot be a file's: %v", name, err)
		}
		if err := root.RemoveAll(strings.SplitN(name, "/", 2)[0]); err != nil {
			t.Error(err)
		}
	})
}
