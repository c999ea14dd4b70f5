package vod

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/job"
	"liuyun/internal/kit/store"
)

// readyAsset makes an asset that has a rendition.
func (s *Service) readyAsset(t *testing.T) string {
	t.Helper()
	id := s.begin(t)
	s.edit(t, id, func(a *asset) {
		a.Status, a.Source = Ready, sourceName(id)
		a.Result = &encode.Result{Prefix: assetFolder(id) + "made-1/", Duration: 9.5, Stored: 1000, Renditions: []encode.Rendition{{ID: "h264-720p"}}}
	})
	return id
}

func (s *Service) edit(t *testing.T, id string, change func(a *asset)) {
	t.Helper()
	err := s.DB.Write(t.Context(), func(tx *store.Tx) error {
		a, err := anyAsset(tx, id)
		if err != nil {
			return err
		}
		change(a)
		return saveAsset(tx, a)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// work tells the service of a job, as the queue does.
func (s *Service) work(t *testing.T, hook func(*store.Tx, job.Job) error, j job.Job) {
	t.Helper()
	if err := s.DB.Write(t.Context(), func(tx *store.Tx) error { return hook(tx, j) }); err != nil {
		t.Fatal(err)
	}
}

// jobOf is the job of an asset's comparison.
func (s *Service) jobOf(t *testing.T, id string) (j job.Job) {
	t.Helper()
	err := s.DB.Read(t.Context(), func(tx *store.Tx) (err error) {
		j, err = s.Jobs.Get(tx, s.read(t, id).Comparison.Job)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func asTenant(t *testing.T) context.Context {
	return guard.With(t.Context(), guard.Principal{Tenant: testTenant})
}

// A comparison is queued, runs, is ready and can be read, and is made anew under
// another prefix.
func TestComparison(t *testing.T) {
	t.Parallel()
	s, ctx := newTestService(t), asTenant(t)
	id := s.readyAsset(t)
	if _, err := s.apiComparison(ctx, &AssetPath{ID: id}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("numbers of none: %v", err)
	}
	ask := func() *AssetComparison {
		t.Helper()
		out, err := s.apiCompare(ctx, &compareInput{AssetPath: AssetPath{ID: id}, Body: &NewComparison{Every: 7}})
		if err != nil {
			t.Fatal(err)
		}
		return out.Body.Comparison
	}
	if got := ask(); got.Status != ComparisonQueued || got.Report != "" || got.EndedAt != nil {
		t.Errorf("asked for: %+v", got)
	}
	j := s.jobOf(t, id)
	var payload encode.CompareRequest
	if err := json.Unmarshal(j.Payload, &payload); err != nil {
		t.Fatal(err)
	}
	want := encode.CompareRequest{Name: "film.mp4", Source: sourceName(id), Result: assetFolder(id) + "made-1/", Prefix: assetFolder(id) + "comparison-1/", Every: 7, Frames: framesShown}
	if payload != want || j.Kind != encode.Compare || j.Group != id {
		t.Errorf("the job is %+v with %+v", j, payload)
	}
	rev := s.read(t, id).Rev
	if ask(); s.read(t, id).Comparison.Job != j.ID {
		t.Errorf("a second one was begun beside the first (revision %d, then %d)", rev, s.read(t, id).Rev)
	}
	s.work(t, s.comparisonStarted, j)
	if _, err := s.apiComparison(ctx, &AssetPath{ID: id}); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("numbers while it runs: %v", err)
	}
	s.progress.put(j.ID, 0.4, encode.Compare)
	if got := s.shown(t, id); got.Comparison.Status != ComparisonRunning || got.Comparison.Progress != 0.4 || got.Progress != 1 || got.Status != Ready {
		t.Errorf("running: %+v of %s at %v", got.Comparison, got.Status, got.Progress)
	}

	j.State, j.Result = job.Done, json.RawMessage(`{"stored":70,"left_out":[{"rendition":"hevc-720p","message":"HDR"}]}`)
	s.work(t, s.comparisonEnded, j)
	got := s.shown(t, id).Comparison
	if got.Status != ComparisonReady || got.Progress != 1 || got.EndedAt == nil || len(got.LeftOut) != 1 || !strings.HasPrefix(got.Report, ReportsPath) {
		t.Errorf("ready: %+v", got)
	}
	if _, err := s.apiComparison(ctx, &AssetPath{ID: id}); fault.CodeOf(err) != fault.NotFound || !strings.Contains(fault.Message(err), "compare it again") {
		t.Errorf("numbers that were lost: %v", err)
	}
	s.put(t, payload.Prefix+encode.ComparisonNumbers, `{"every":7,"encodes":[{"name":"h264-720p","bytes":5}],"shots":[],"bd_rate":[]}`)
	if out, err := s.apiComparison(ctx, &AssetPath{ID: id}); err != nil || out.Body.Every != 7 || len(out.Body.Encodes) != 1 || out.Body.Encodes[0].Bytes != 5 {
		t.Errorf("numbers: %+v, %v", out, err)
	}
	if a := s.read(t, id); a.stored() != 1070 { // nothing of its source was received
		t.Errorf("%d bytes are kept for it", a.stored())
	}
	s.work(t, s.comparisonEnded, j) // heard twice
	if ask(); s.read(t, id).Comparison.Prefix != assetFolder(id)+"comparison-2/" || !slices.Contains(s.read(t, id).Garbage, payload.Prefix) {
		t.Errorf("made anew: %+v with garbage %v", s.read(t, id).Comparison, s.read(t, id).Garbage)
	}
	s.work(t, s.comparisonEnded, j) // the end of the first one is late
	if a := s.read(t, id); a.Comparison.Status != ComparisonQueued {
		t.Errorf("after the end of an earlier one it is %s", a.Comparison.Status)
	}

	j = s.jobOf(t, id)
	j.State, j.Error = job.Failed, &job.Failure{Code: fault.Invalid, Message: "another shape"}
	s.work(t, s.comparisonEnded, j)
	if got := s.shown(t, id).Comparison; got.Status != ComparisonFailed || got.Error.Message != "another shape" || got.Report != "" {
		t.Errorf("failed: %+v", got)
	}
}

// shown is the asset as the API shows it.
func (s *Service) shown(t *testing.T, id string) *Asset {
	t.Helper()
	out, err := s.apiGet(asTenant(t), &AssetPath{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return out.Body
}

// What has no source, no picture or no result is refused, and other tenants see
// nothing.
func TestComparisonRefused(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	for name, change := range map[string]func(a *asset){
		"an asset that is not ready":   func(a *asset) { a.Status = Processing },
		"a recording":                  func(a *asset) { a.Recorded = &recorded{} },
		"an asset with no picture":     func(a *asset) { a.Result.Renditions = nil },
		"an asset that was not made":   func(a *asset) { a.Result = nil },
		"one that somebody else holds": func(a *asset) { a.Tenant = "ten_other" },
	} {
		id := s.readyAsset(t)
		s.edit(t, id, change)
		_, err := s.apiCompare(asTenant(t), &compareInput{AssetPath: AssetPath{ID: id}})
		if code := fault.CodeOf(err); code != fault.Conflict && code != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
		if s.read(t, id).Comparison != nil {
			t.Errorf("%s: it is compared", name)
		}
	}
}

// A comparison can be stopped and removed; subtitles interrupt one, because what it
// reads is removed. Its number is not used again.
func TestComparisonStopped(t *testing.T) {
	t.Parallel()
	s, ctx := newTestService(t), asTenant(t)
	id := s.readyAsset(t)
	begin := func() job.Job {
		t.Helper()
		if _, err := s.apiCompare(ctx, &compareInput{AssetPath: AssetPath{ID: id}}); err != nil {
			t.Fatal(err)
		}
		return s.jobOf(t, id)
	}
	first := begin()
	out, err := s.apiDropComparison(ctx, &AssetPath{ID: id})
	if err != nil || out.Body.Comparison != nil {
		t.Fatalf("stopped: %v, %+v", err, out)
	}
	if state := s.state(t, first.ID); state != job.Canceled {
		t.Errorf("its job is %s", state)
	}
	if _, err := s.apiDropComparison(ctx, &AssetPath{ID: id}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("stopped twice: %v", err)
	}
	second := begin()
	if s.read(t, id).Comparison.Prefix != assetFolder(id)+"comparison-2/" {
		t.Errorf("the second has the prefix %s", s.read(t, id).Comparison.Prefix)
	}
	if _, err := s.addSubtitle(ctx, testTenant, id, "en", "", []byte("WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n")); err != nil {
		t.Fatal(err)
	}
	got := s.shown(t, id).Comparison
	if got == nil || got.Status != ComparisonFailed || got.Error.Code != fault.Canceled {
		t.Errorf("interrupted: %+v", got)
	}
	if state := s.state(t, second.ID); state != job.Canceled {
		t.Errorf("the interrupted job is %s", state)
	}
	if _, err := s.apiCompare(ctx, &compareInput{AssetPath: AssetPath{ID: id}}); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("while the subtitles are added, which removes what it would read: %v", err)
	}
	s.edit(t, id, func(a *asset) { a.Job = "" })
	third := begin()
	third.State, third.Result = job.Done, json.RawMessage(`{"stored":70}`)
	s.work(t, s.comparisonEnded, third)
	if out, err = s.apiDropComparison(ctx, &AssetPath{ID: id}); err != nil || out.Body.Comparison != nil || s.read(t, id).stored() != 1000 {
		t.Errorf("removed: %v, %d bytes are kept", err, s.read(t, id).stored())
	}
}

func (s *Service) state(t *testing.T, id string) (state job.State) {
	t.Helper()
	err := s.DB.Read(t.Context(), func(tx *store.Tx) error {
		j, err := s.Jobs.Get(tx, id)
		state = j.State
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// A report is shown to who has its address, until that expires, and to nobody who may
// only play the asset. Whatever is in it gets no origin.
func TestReports(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	id := s.readyAsset(t)
	prefix := assetFolder(id) + "comparison-1/"
	s.edit(t, id, func(a *asset) { a.Comparison = &comparison{Number: 1, Status: ComparisonReady, Prefix: prefix} })
	s.put(t, prefix+encode.ComparisonPage, "<script>steal()</script>")
	get := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.Reports().ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if policy := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "sandbox allow-scripts; default-src 'none';") {
			t.Errorf("%s: policy %q", path, policy)
		}
		return w
	}
	address := s.shown(t, id).Comparison.Report
	w := get("GET", address)
	if w.Code != 200 || w.Body.String() != "<script>steal()</script>" || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || w.Header().Get("X-Frame-Options") != "" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	later, soon := time.Now().Add(time.Hour), time.Now().Add(-time.Second)
	for path, want := range map[string]int{
		ReportsPath + s.Signer.Sign(id, later) + "/" + id:           403, // plays it
		ReportsPath + s.Signer.Sign(reportOf(id), soon) + "/" + id:  403,
		ReportsPath + s.Signer.Sign(reportOf(id), later) + "/ast_x": 404,
		ReportsPath + id:        404,
		ReportsPath + "x/" + id: 403,
		strings.Replace(address, ReportsPath, ReportsPath+"A", 1): 403,
		ReportsPath: 404,
		ReportsPath + s.Signer.Sign(reportOf(id), later) + "/" + id + "/../x": 404,
	} {
		if w := get("GET", path); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	if w := get("POST", address); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
	if w := get("HEAD", address); w.Code != 200 || w.Body.Len() > 0 {
		t.Errorf("HEAD: %d with %d bytes", w.Code, w.Body.Len())
	}
	s.edit(t, id, func(a *asset) { a.Comparison.Prefix = "assets/x/" })
	if w := get("GET", address); w.Code != 404 {
		t.Errorf("a report that was lost: %d", w.Code)
	}
	s.edit(t, id, func(a *asset) { a.Deleted = time.Now() })
	if w := get("GET", address); w.Code != 404 {
		t.Errorf("of an asset that is deleted: %d", w.Code)
	}
}

// A comparison whose end nobody heard who knows of comparisons can be asked for again.
func TestComparisonForgotten(t *testing.T) {
	t.Parallel()
	s, ctx := newTestService(t), asTenant(t)
	id := s.readyAsset(t)
	for want := range 2 {
		out, err := s.apiCompare(ctx, &compareInput{AssetPath: AssetPath{ID: id}})
		if err != nil || out.Body.Comparison.Status != ComparisonQueued || s.read(t, id).Comparison.Number != int64(want+1) {
			t.Fatalf("%d: %v, %+v", want, err, s.read(t, id).Comparison)
		}
		s.edit(t, id, func(a *asset) { a.Comparison.Status = ComparisonRunning })
		if err := s.DB.Write(t.Context(), func(tx *store.Tx) error { return s.Jobs.RemoveGroup(tx, id) }); err != nil {
			t.Fatal(err)
		}
	}
}

// A full disk holds a comparison up, and not the asset, which plays.
func TestComparisonHeld(t *testing.T) {
	t.Parallel()
	s, ctx := newTestService(t), asTenant(t)
	id := s.readyAsset(t)
	if _, err := s.apiCompare(ctx, &compareInput{AssetPath: AssetPath{ID: id}}); err != nil {
		t.Fatal(err)
	}
	if got := s.shown(t, id).Comparison; got.WaitingFor != nil {
		t.Errorf("it waits for %s", *got.WaitingFor)
	}
	s.Room = func() error { return fault.New(fault.StorageFull, "full") }
	if got := s.shown(t, id); got.Comparison.WaitingFor == nil || got.WaitingFor != nil {
		t.Errorf("on a full disk it waits for %v, the asset for %v", got.Comparison.WaitingFor, got.WaitingFor)
	}
}

// What a stopped worker may still write to is removed when it has let go.
func TestComparisonSwept(t *testing.T) {
	t.Parallel()
	s, ctx := newTestService(t), asTenant(t)
	id := s.readyAsset(t)
	if _, err := s.apiCompare(ctx, &compareInput{AssetPath: AssetPath{ID: id}}); err != nil {
		t.Fatal(err)
	}
	j, prefix := s.jobOf(t, id), s.read(t, id).Comparison.Prefix
	lease := func(until time.Time) {
		t.Helper()
		err := s.DB.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE jobs SET state = 'running', lease = ? WHERE id = ?`, store.Time(until), j.ID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	lease(time.Now().Add(time.Minute))
	if _, err := s.apiDropComparison(ctx, &AssetPath{ID: id}); err != nil {
		t.Fatal(err)
	}
	s.put(t, prefix+encode.ComparisonPage, "late")
	if busy, err := s.sweepOnce(t.Context(), time.Now()); err != nil || !busy || !slices.Contains(s.read(t, id).Garbage, prefix) {
		t.Errorf("while a worker is at it: busy %v, %v, garbage %v", busy, err, s.read(t, id).Garbage)
	}
	err := s.DB.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE jobs SET lease = 0 WHERE id = ?`, j.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if busy, err := s.sweepOnce(t.Context(), time.Now()); err != nil || busy || s.read(t, id).Garbage != nil {
		t.Errorf("when it has let go: busy %v, %v, garbage %v", busy, err, s.read(t, id).Garbage)
	}
	if _, err := s.Blob.Stat(t.Context(), prefix+encode.ComparisonPage); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("what came late is there: %v", err)
	}
}
