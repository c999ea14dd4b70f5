package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"liuyun/client"
)

// What a person waits for, milliseconds.
const (
	listLimit  = 50
	readLimit  = 10
	startLimit = 3 // seconds
)

// listCase is one kind of list that people ask for.
type listCase struct {
	name   string
	tenant int             // of filled.tenants
	status []client.Status // one of them each time; none is any
	texts  []string        // one of them each time; none is any
	deep   bool            // a page somewhere, not the first
}

// listCases are all ways to ask, apart and together.
func listCases() []listCase {
	return []listCase{
		{name: "newest"},
		{name: "any page", deep: true},
		{name: "by state", status: []client.Status{client.Ready, client.Failed, client.Queued, client.Created, client.Uploading, client.Processing}},
		{name: "by state, any page", deep: true, status: []client.Status{client.Ready, client.Failed, client.Queued}},
		{name: "another tenant", tenant: 2},
		{name: "another tenant, any page", tenant: 1, deep: true},
		{name: "a small tenant by state", tenant: 4, status: []client.Status{client.Ready, client.Failed}},
		{name: "text, frequent", texts: []string{"harbour", "lecture", "产品介绍", "TAKE"}},
		{name: "text, rare", texts: []string{"aurora", "take 77", "流云影", "第777"}},
		{name: "text, one or two characters", texts: []string{"流云", "港", "ma", "z", "集"}},
		{name: "text, nowhere", texts: []string{"nothing like it", "潜水艇", "qq"}},
		{name: "text of a small tenant", tenant: 4, texts: []string{"holiday", "长城", "流云", "take 5"}},
		{name: "text and state", texts: []string{"harbour", "aurora", "港口", "take 9"}, status: []client.Status{client.Ready, client.Failed, client.Queued}},
		{name: "text, any page", texts: []string{"harbour", "lecture", "集", "take"}, deep: true},
	}
}

// listQuery is one question of a case.
type listQuery struct {
	tenant filledTenant
	status client.Status
	text   string
	after  string
}

func (c listCase) query(f *filled, r *rand.Rand) listQuery {
	q := listQuery{tenant: f.tenants[c.tenant]}
	if len(c.status) > 0 {
		q.status = c.status[r.IntN(len(c.status))]
	}
	if len(c.texts) > 0 {
		q.text = c.texts[r.IntN(len(c.texts))]
	}
	if c.deep {
		q.after = q.tenant.assets[r.IntN(len(q.tenant.assets))].id
	}
	return q
}

func (q listQuery) path() string {
	values := make(url.Values)
	for name, value := range map[string]string{"status": string(q.status), "q": q.text, "after": q.after} {
		if value != "" {
			values.Set(name, value)
		}
	}
	return "/v1/assets?" + values.Encode()
}

// pageSize is how many assets a page has when nobody says.
const pageSize = 50

// expected is the page that the answer has to be.
func (q listQuery) expected() []string {
	ids := []string{}
	text := strings.ToLower(q.text)
	for _, a := range slices.Backward(q.tenant.assets) {
		if len(ids) == pageSize {
			break
		}
		if (q.after == "" || a.id < q.after) && (q.status == "" || a.status == q.status) && strings.Contains(strings.ToLower(a.name), text) {
			ids = append(ids, a.id)
		}
	}
	return ids
}

// check compares an answer with what it has to be. The assets that were copied
// lie in the first tenant too, before all others.
func (q listQuery) check(status int, body []byte) error {
	var page struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if status != http.StatusOK {
		return fmt.Errorf("%s: status %d: %.300s", q.path(), status, body)
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return err
	}
	want := q.expected()
	for i, id := range want {
		if i >= len(page.Data) || page.Data[i].ID != id {
			return fmt.Errorf("%s: %d assets that differ from number %d of %d on", q.path(), len(page.Data), i, len(want))
		}
	}
	return nil
}

// measureLists asks for lists over HTTP, one after the other and all cases in
// turn, and compares the 99th percentile of each case with the limit.
func measureLists(ctx context.Context, b *bench) ([]result, error) {
	f, err := b.filledFolder(ctx)
	if err != nil {
		return nil, err
	}
	rounds := 1_000
	if b.flags.quick {
		rounds = 100
	}
	cases := listCases()
	took := make([][]float64, len(cases))
	var used usage
	s, err := b.serve(ctx, controlOnly(f.data))
	if err != nil {
		return nil, err
	}
	defer s.kill()
	caller, random := callers(1), rand.New(rand.NewPCG(3, 4))
	for round := range rounds {
		for i, c := range cases {
			q := c.query(f, random)
			r, err := s.request(ctx, http.MethodGet, q.path(), q.tenant.id)
			if err != nil {
				return nil, err
			}
			status, body, ms, err := timed(caller, r)
			if err == nil && (round%50 == 0 || status != http.StatusOK) {
				err = q.check(status, body)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			took[i] = append(took[i], ms)
		}
	}
	if used, err = s.stop(); err != nil {
		return nil, err
	}
	var results []result
	for i, c := range cases {
		results = append(results, result{
			Peer: "the limit", Clip: f.title() + ", " + c.name, Unit: "ms p99", Ours: percentile(took[i], 99), Theirs: listLimit, Bar: 1, Bound: atMost,
			Notes: fmt.Sprintf("%d requests, p50 %.2f ms, longest %.1f ms; the server's peak memory %.0f MB; others used %.0f %% of the machine",
				rounds, percentile(took[i], 50), slices.Max(took[i]), float64(used.Largest)/1e6, 100*used.Others),
			Disturbed: used.Others > disturbance,
		})
	}
	return results, nil
}

// title names the folder in a figure.
func (f *filled) title() string { return strconv.Itoa(f.count) + " assets" }

// measureReads asks for single assets at a fixed rate, and compares the 99th
// percentile, from the moment when each was due, with the limit.
func measureReads(ctx context.Context, b *bench) ([]result, error) {
	f, err := b.filledFolder(ctx)
	if err != nil {
		return nil, err
	}
	const rate = 500
	seconds := 60
	if b.flags.quick {
		seconds = 4
	}
	s, err := b.serve(ctx, controlOnly(f.data))
	if err != nil {
		return nil, err
	}
	defer s.kill()
	caller, random := callers(64), rand.New(rand.NewPCG(5, 6))
	requests := make([]*http.Request, rate*seconds)
	for i := range requests {
		tenant := f.tenants[random.IntN(len(f.tenants))]
		asset := tenant.assets[random.IntN(len(tenant.assets))]
		if requests[i], err = s.request(ctx, http.MethodGet, "/v1/assets/"+asset.id, tenant.id); err != nil {
			return nil, err
		}
	}
	took, err := openLoop(ctx, rate, len(requests), func(n int) error {
		status, body, err := fetch(caller, requests[n])
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s: status %d: %.300s", requests[n].URL.Path, status, body)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	used, err := s.stop()
	if err != nil {
		return nil, err
	}
	return []result{{
		Peer: "the limit", Clip: fmt.Sprintf("%s, %d/s", f.title(), rate), Unit: "ms p99", Ours: percentile(took, 99), Theirs: readLimit, Bar: 1, Bound: atMost,
		Notes: fmt.Sprintf("%d requests, p50 %.2f ms, p99.9 %.2f ms, longest %.1f ms; the server used %.2f of a core, others %.0f %% of the machine",
			len(took), percentile(took, 50), percentile(took, 99.9), slices.Max(took), used.CPU/used.Wall, 100*used.Others),
		Disturbed: used.Others > disturbance,
	}}, nil
}

// measureColdStart starts the whole cloud, encoding too, on the full folder, with
// nothing of the folder or the program in the page cache.
func measureColdStart(ctx context.Context, b *bench) ([]result, error) {
	f, err := b.filledFolder(ctx)
	if err != nil {
		return nil, err
	}
	count := 5
	if b.flags.quick {
		count = 2
	}
	var starts []float64
	peak, others := int64(0), 0.0
	for range count {
		if err := b.forgetFiles(ctx, f.data); err != nil {
			return nil, err
		}
		s, err := b.serve(ctx, serve{data: f.data})
		if err != nil {
			return nil, err
		}
		starts = append(starts, s.Startup.Seconds())
		used, err := s.stop()
		if err != nil {
			return nil, err
		}
		peak, others = max(peak, used.Largest), max(others, used.Others)
	}
	return []result{{
		Peer: "the limit", Clip: f.title(), Unit: "s", Ours: slices.Max(starts), Theirs: startLimit, Bar: 1, Bound: atMost,
		Notes:     fmt.Sprintf("the slowest of %d starts, median %.2f s; peak memory %.0f MB; others used up to %.0f %% of the machine", count, median(starts), float64(peak)/1e6, 100*others),
		Disturbed: others > disturbance,
	}}, nil
}

// forgetFiles has the kernel drop what it keeps in memory of the program and of
// the files below folder, which a start of the machine would not have either.
func (b *bench) forgetFiles(ctx context.Context, folder string) error {
	paths := []string{b.liuyun}
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	if _, err := (command{args: append([]string{"sync"}, paths...)}).run(ctx); err != nil {
		return err
	}
	for _, path := range paths {
		if _, err := (command{args: []string{"dd", "if=" + path, "iflag=nocache", "count=0", "status=none"}}).run(ctx); err != nil {
			return err
		}
	}
	return nil
}
