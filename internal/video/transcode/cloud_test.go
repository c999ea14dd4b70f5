package transcode

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/kit/blob"
	queue "liuyun/internal/kit/job"
	"liuyun/internal/testkit"
)

const testAsset = "ast_01k0000000000000000000000a"

func findTools(t *testing.T) *ffmpeg.Tools {
	t.Helper()
	config := ffmpeg.DefaultConfig()
	config.FFmpegPath, config.FFprobePath = testkit.FFmpeg(t), testkit.FFprobe(t)
	tools, err := ffmpeg.Find(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return tools
}

// cloud is a store of objects, and the jobs of those who work on it.
type cloud struct {
	t       *testing.T
	tools   *ffmpeg.Tools
	objects *blob.FS
	folder  string

	mu      sync.Mutex
	jobs    map[string]*unitJob // by name
	encoded int                 // units that were made and not found
	onUnit  func(made int)
}

type unitJob struct {
	queue.Job
	ended chan struct{}
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	folder := t.TempDir()
	objects, err := blob.NewFS(filepath.Join(folder, "blob"), blob.Reserve{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { objects.Close() })
	return &cloud{t: t, tools: findTools(t), objects: objects, folder: folder, jobs: map[string]*unitJob{}}
}

// handlers are those of the machine called name; remote ones have the objects over
// the network.
func (c *cloud) handlers(name string) *Handlers {
	c.t.Helper()
	objects := blob.Store(c.objects)
	if strings.HasPrefix(name, "remote") {
		server := httptest.NewServer(blob.Handler(c.objects))
		c.t.Cleanup(server.Close)
		objects = blob.NewRemote(server.URL, server.Client())
	}
	cache, err := blob.NewCache(objects, filepath.Join(c.folder, "cache-"+name), 1<<30, blob.Reserve{})
	if err != nil {
		c.t.Fatal(err)
	}
	return NewHandlers(Deps{Tools: c.tools, Objects: objects, Files: cache, Scratch: filepath.Join(c.folder, "scratch-"+name), Cores: 2})
}

// put stores a file as an object.
func (c *cloud) put(name, path string) {
	c.t.Helper()
	file, err := os.Open(path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer file.Close()
	if _, err := c.objects.Put(c.t.Context(), name, file); err != nil {
		c.t.Fatal(err)
	}
}

// lineup is a lease whose children are done at once by the given workers, in turn.
type lineup struct {
	*cloud
	ctx     context.Context
	workers []*Handlers
	told    []float64
}

func (l *lineup) Progress(fraction float64, _ string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, fraction)
}

func (l *lineup) Submit(_ context.Context, specs ...queue.Spec) ([]string, error) {
	var ids []string
	for _, s := range specs {
		payload, err := json.Marshal(s.Payload)
		if err != nil || len(payload) > queue.MaxPayload/4 {
			return nil, fmt.Errorf("payload of %d bytes: %w", len(payload), err)
		}
		l.mu.Lock()
		u := l.jobs[s.Name]
		if u == nil || u.State == queue.Failed {
			u = &unitJob{queue.Job{ID: s.Name, Class: s.Class, Payload: payload, State: queue.Running}, make(chan struct{})}
			l.jobs[s.Name] = u
			go l.work(u, l.workers[len(l.jobs)%len(l.workers)])
		}
		l.mu.Unlock()
		ids = append(ids, s.Name)
	}
	return ids, nil
}

func (l *lineup) work(u *unitJob, h *Handlers) {
	defer close(u.ended)
	result, err := h.unit(l.ctx, u.Job, l)
	err = forTheQueue(l.ctx, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		u.State, u.Error = queue.Failed, &queue.Failure{Code: fault.CodeOf(err), Message: fault.Message(err)}
		return
	}
	if !result.Reused {
		l.encoded++
	}
	if known := result.Spent.Cost != nil; known != (h.figures() != nil) || result.Spent.CPU != result.CPUSeconds {
		l.t.Errorf("a unit of %g CPU seconds took %+v", result.CPUSeconds, result.Spent)
	}
	if u.Result, err = json.Marshal(result); err != nil {
		l.t.Error(err)
	}
	u.State = queue.Done
	if l.onUnit != nil {
		l.onUnit(l.encoded)
	}
}

func (l *lineup) Wait(ctx context.Context, id string) (queue.Job, error) {
	l.mu.Lock()
	u := l.jobs[id]
	l.mu.Unlock()
	select {
	case <-u.ended:
		return u.Job, nil
	case <-ctx.Done():
		return queue.Job{}, ctx.Err()
	}
}

// wait waits until no unit is being made.
func (l *lineup) wait() {
	l.mu.Lock()
	jobs := make([]*unitJob, 0, len(l.jobs))
	for _, u := range l.jobs {
		jobs = append(jobs, u)
	}
	l.mu.Unlock()
	for _, u := range jobs {
		<-u.ended
	}
}

// run has the request done by the first worker, its units by all.
func (c *cloud) run(ctx context.Context, ask encode.Request, workers ...*Handlers) (*encode.Result, error) {
	c.t.Helper()
	payload, err := json.Marshal(ask)
	if err != nil {
		c.t.Fatal(err)
	}
	l := &lineup{cloud: c, ctx: ctx, workers: workers}
	defer l.wait()
	result, err := workers[0].transcode(ctx, queue.Job{ID: "job", Tenant: "ten", Group: ask.Asset, Payload: payload}, l)
	if err == nil && len(l.told) > 0 && (!slices.IsSorted(l.told) && l.told[len(l.told)-1] < 0.95) {
		c.t.Errorf("progress went %v", l.told)
	}
	return result, forTheQueue(ctx, err)
}

// mustRun is run, which has to succeed.
func (c *cloud) mustRun(ask encode.Request, workers ...*Handlers) *encode.Result {
	c.t.Helper()
	result, err := c.run(c.t.Context(), ask, workers...)
	if err != nil {
		c.t.Fatal(err)
	}
	return result
}

// files returns what lies below prefix, but for what only the queue writes.
func (c *cloud) files(prefix string) map[string]string {
	c.t.Helper()
	files := map[string]string{}
	err := c.objects.List(c.t.Context(), prefix, func(info blob.Info) error {
		name := strings.TrimPrefix(info.Name, prefix)
		if name == partsName || strings.HasPrefix(name, ".") {
			return nil
		}
		object, err := c.objects.Open(c.t.Context(), info.Name)
		if err != nil {
			return err
		}
		defer object.Close()
		data, err := io.ReadAll(object)
		files[name] = string(data)
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return files
}

// empty fails when scratch of any machine holds anything.
func (c *cloud) empty() {
	c.t.Helper()
	left, err := filepath.Glob(filepath.Join(c.folder, "scratch-*", "*"))
	if err != nil || len(left) > 0 {
		c.t.Errorf("scratch holds %v, %v", left, err)
	}
}

func readFolder(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		files[filepath.ToSlash(name)] = read(t, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// sameFiles compares names and contents, and says which differ.
func sameFiles(t *testing.T, got, want map[string]string) {
	t.Helper()
	names := func(files map[string]string) []string {
		var list []string
		for name := range files {
			list = append(list, name)
		}
		slices.Sort(list)
		return list
	}
	if diff := cmp.Diff(names(want), names(got)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for name := range want {
		if got[name] != want[name] && len(want[name]) < 8<<10 {
			t.Errorf("%s (-want +got):\n%s", name, cmp.Diff(want[name], got[name]))
		} else if got[name] != want[name] {
			t.Errorf("%s differs: %d bytes, want %d", name, len(got[name]), len(want[name]))
		}
	}
}

// film is several units of picture.
func film() testkit.Clip {
	clip := testkit.Numbered("25", 1100, 220, 440, 660, 880)
	clip.Name = "film.mp4"
	return clip
}

func quick() encode.Options {
	return encode.Options{Preset: "ultrafast", Ladder: "180:20M,90:20M"}
}

func (c *cloud) request(source string) encode.Request {
	c.t.Helper()
	object := "assets/" + testAsset + "/source"
	c.put(object, source)
	return encode.Request{Asset: testAsset, Name: filepath.Base(source), Source: object, Options: quick()}
}

// encodeHere makes the same by Encode.
func (c *cloud) encodeHere(source string, asked encode.Options) map[string]string {
	c.t.Helper()
	options, err := ParseOptions(asked)
	if err != nil {
		c.t.Fatal(err)
	}
	options.Workers = 2
	file, err := OpenFile(source)
	if err != nil {
		c.t.Fatal(err)
	}
	defer file.Close()
	root := filepath.Join(c.t.TempDir(), "out")
	service := Service{Tools: c.tools}
	if _, err := service.Encode(c.t.Context(), file, root, options); err != nil {
		c.t.Fatal(err)
	}
	return readFolder(c.t, root)
}
