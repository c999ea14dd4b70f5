package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/client"
	"liuyun/internal/kit/job"
	"liuyun/internal/kit/store"
)

func TestChosen(t *testing.T) {
	t.Parallel()
	shares := []int{60, 30, 10}
	for number, want := range map[int]int{0: 0, 59: 0, 60: 1, 89: 1, 90: 2, 99: 2, 100: 2} {
		if got := chosen(number, len(shares), func(i int) int { return shares[i] }); got != want {
			t.Errorf("number %d: got share %d, want %d", number, got, want)
		}
	}
}

func TestSharesAreWhole(t *testing.T) {
	t.Parallel()
	tenants, states := 0, 0
	for _, share := range tenantShares {
		tenants += share
	}
	for _, s := range stateShares {
		states += s.share
	}
	if tenants != 100 || states != 1000 {
		t.Errorf("tenants have %d %%, states %d ‰", tenants, states)
	}
}

// The cases ask for what some names have and some have not.
func TestVideoNames(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	found := make(map[string]int)
	const count = 20_000
	for n := range count {
		name := strings.ToLower(videoName(random, n))
		for _, c := range listCases() {
			for _, text := range c.texts {
				if strings.Contains(name, strings.ToLower(text)) {
					found[text]++
				}
			}
		}
	}
	for _, text := range []string{"harbour", "lecture", "产品介绍", "aurora", "流云", "港", "集", "take 5"} {
		if found[text] == 0 || found[text] == count {
			t.Errorf("%q is in %d of %d names", text, found[text], count)
		}
	}
	for _, text := range []string{"nothing like it", "潜水艇", "qq"} {
		if found[text] > 0 {
			t.Errorf("%q is in %d names", text, found[text])
		}
	}
}

func TestListQuery(t *testing.T) {
	t.Parallel()
	tenant := filledTenant{assets: []filledAsset{
		{"ast_1", "Harbour take 1.mp4", client.Ready}, {"ast_2", "港口 第2集.mp4", client.Ready},
		{"ast_3", "harbour take 3.mp4", client.Failed}, {"ast_4", "Harbour take 4.mp4", client.Ready},
	}}
	tests := []struct {
		query listQuery
		path  string
		want  []string
	}{
		{listQuery{}, "/v1/assets?", []string{"ast_4", "ast_3", "ast_2", "ast_1"}},
		{listQuery{after: "ast_3"}, "/v1/assets?after=ast_3", []string{"ast_2", "ast_1"}},
		{listQuery{status: client.Ready, text: "HARBOUR"}, "/v1/assets?q=HARBOUR&status=ready", []string{"ast_4", "ast_1"}},
		{listQuery{text: "港"}, "/v1/assets?q=%E6%B8%AF", []string{"ast_2"}},
		{listQuery{text: "nowhere"}, "/v1/assets?q=nowhere", []string{}},
	}
	for _, test := range tests {
		test.query.tenant = tenant
		if got := test.query.path(); got != test.path {
			t.Errorf("path: got %s, want %s", got, test.path)
		}
		if diff := cmp.Diff(test.want, test.query.expected()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", test.path, diff)
		}
	}
	q := listQuery{tenant: tenant, after: "ast_3"}
	if err := q.check(http.StatusOK, []byte(`{"data":[{"id":"ast_2"},{"id":"ast_1"},{"id":"ast_0"}],"next":""}`)); err != nil {
		t.Errorf("the right page, and a copied asset: %v", err)
	}
	for name, body := range map[string]string{"short": `{"data":[{"id":"ast_2"}]}`, "other": `{"data":[{"id":"ast_1"},{"id":"ast_2"}]}`, "no JSON": `<`} {
		if q.check(http.StatusOK, []byte(body)) == nil {
			t.Errorf("%s page passes", name)
		}
	}
	if q.check(http.StatusInternalServerError, nil) == nil {
		t.Error("an error passes")
	}
}

// The body does not depend on how it is cut.
func TestPattern(t *testing.T) {
	t.Parallel()
	p := pattern("abcde")
	var got [7]byte
	if n, err := p.ReadAt(got[:], 8); n != len(got) || err != nil || string(got[:]) != "deabcde" {
		t.Errorf("got %d bytes %q, %v", n, got, err)
	}
}

func records(t *testing.T, folder string, sets ...store.Migrations) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), folder, store.DefaultConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context(), sets...); err != nil {
		t.Fatal(err)
	}
	return db
}

func write(t *testing.T, db *store.DB, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Write(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

func TestRowPattern(t *testing.T) {
	t.Parallel()
	db := records(t, t.TempDir(), store.Migrations{Set: "x", Steps: []store.Step{{SQL: `CREATE TABLE x (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, doc TEXT NOT NULL, size BIGINT NOT NULL)`}}})
	write(t, db, func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO x VALUES ('ast_1', 'a', '{"prefix":"assets/ast_1/k/"}', 7)`); err != nil {
			return err
		}
		p, found, err := readRow(tx, "x", "id", "ast_1")
		if err != nil || !found {
			t.Fatalf("found %v, %v", found, err)
		}
		if got := p.text("tenant"); got != "a" {
			t.Errorf("tenant: got %q", got)
		}
		if _, found, err := readRow(tx, "x", "id", "ast_9"); found || err != nil {
			t.Errorf("absent row: found %v, %v", found, err)
		}
		return p.insert(tx, "ast_1", "ast_2", map[string]any{"tenant": "b"})
	})
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		var id, tenant, doc string
		var size int64
		if err := tx.QueryRow(`SELECT id, tenant, doc, size FROM x WHERE id <> 'ast_1'`).Scan(&id, &tenant, &doc, &size); err != nil {
			return err
		}
		if id != "ast_2" || tenant != "b" || doc != `{"prefix":"assets/ast_2/k/"}` || size != 7 {
			t.Errorf("copy: %s %s %s %d", id, tenant, doc, size)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Only units that were encoded count, from the first start to the last end.
func TestReadUnits(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	db := records(t, filepath.Join(data, "store"), job.Migrations())
	began := time.Unix(1_000, 0)
	add := func(id, asset, kind, state, payload string, from, to float64) {
		write(t, db, func(tx *store.Tx) error {
			at := func(s float64) int64 { return store.Time(began.Add(time.Duration(s * float64(time.Second)))) }
			_, err := tx.Exec(`INSERT INTO jobs (id, kind, tenant, grp, name, class, parent, priority, state, hold, ready, attempt, tries, lost,
				payload, result, error_code, error_message, progress, phase, node, group_created, created, started, ended, not_before, lease)
				VALUES (?, ?, 't', ?, ?, '', '', 0, ?, '', 0, 1, 0, 0, ?, '', '', '', 1, '', 'n', 0, 0, ?, ?, 0, 0)`,
				id, kind, asset, id, state, payload, at(from), at(to))
			return err
		})
	}
	add("j1", "ast_1", "transcode", "done", `{}`, 0, 60)
	add("j2", "ast_1", "unit", "done", `{"stretch":{}}`, 1, 5)
	add("j3", "ast_1", "unit", "done", `{"unit":{"n":1}}`, 6, 20)
	add("j4", "ast_1", "unit", "done", `{"unit":{"n":2}}`, 6.5, 30.5)
	add("j5", "ast_1", "unit", "failed", `{"unit":{"n":3}}`, 6, 50)
	add("j6", "ast_2", "unit", "done", `{"unit":{"n":1}}`, 6, 55)
	got, err := readUnits(t.Context(), data, "ast_1")
	if err != nil {
		t.Fatal(err)
	}
	if got.units != 2 || got.wall != 24.5 {
		t.Errorf("got %d units in %v s, want 2 in 24.5 s", got.units, got.wall)
	}
	if _, err := readUnits(t.Context(), data, "ast_3"); err == nil {
		t.Error("an asset without units has a phase")
	}
}
