package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"liuyun/client"
	"liuyun/internal/base/id"
	"liuyun/internal/kit/store"
)

// filled is a data folder with very many assets in it, of several tenants.
type filled struct {
	data    string
	tenants []filledTenant // the largest first
	count   int
}

// filledTenant is a tenant and its assets, oldest first.
type filledTenant struct {
	id     string
	assets []filledAsset
}

// filledAsset is what a list has to find.
type filledAsset struct {
	id, name string
	status   client.Status
}

// tenantShares says how much of all assets each tenant has, in percent.
var tenantShares = [...]int{60, 20, 12, 7, 1}

// stateShares says how many of 1,000 assets are in each state.
var stateShares = []struct {
	status client.Status
	share  int
}{{client.Ready, 930}, {client.Failed, 30}, {client.Queued, 20}, {client.Created, 10}, {client.Uploading, 5}, {client.Processing, 5}}

// filledFolder makes the folder once a run. A server makes one asset of each kind
// in the way that users do; the others are copies of their records, under ids,
// names and tenants of their own.
func (b *bench) filledFolder(ctx context.Context) (*filled, error) {
	if b.full != nil {
		return b.full, nil
	}
	f := &filled{count: 100_000}
	if b.flags.quick {
		f.count = 3_000
	}
	var err error
	if f.data, err = b.freshData(); err != nil {
		return nil, err
	}
	began := time.Now()
	patterns, err := b.makePatterns(ctx, f)
	if err != nil {
		return nil, err
	}
	if err := f.fill(ctx, patterns); err != nil {
		return nil, fmt.Errorf("fill the data folder: %w", err)
	}
	b.say("  %d assets of %d tenants made in %.0f s", f.count, len(f.tenants), time.Since(began).Seconds())
	b.full = f
	return f, nil
}

// makePatterns makes the tenants, and an asset in each state; it returns their ids.
func (b *bench) makePatterns(ctx context.Context, f *filled) (map[client.Status]string, error) {
	clip, err := b.smallClip(ctx)
	if err != nil {
		return nil, err
	}
	junk := filepath.Join(b.scratch, "junk.mp4")
	if err := os.WriteFile(junk, []byte(strings.Repeat("no media ", 1000)), 0o600); err != nil {
		return nil, err
	}
	made := make(map[client.Status]string)
	err = b.withServer(ctx, serve{data: f.data}, nil, func(s *server) error {
		if err := f.makeTenants(ctx, s); err != nil {
			return err
		}
		for status, path := range map[client.Status]string{client.Ready: clip, client.Failed: junk} {
			a, err := s.uploadFile(ctx, path, &client.EncodeOptions{Preset: "ultrafast"})
			if err != nil {
				return err
			}
			if _, err := s.await(ctx, a.ID, status); err != nil {
				return err
			}
			made[status] = a.ID
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made, b.withServer(ctx, controlOnly(f.data), nil, func(s *server) error { return unfinished(ctx, s, clip, made) })
}

// makeTenants makes those that are not there from the start.
func (f *filled) makeTenants(ctx context.Context, s *server) error {
	c, err := s.client("")
	if err != nil {
		return err
	}
	defer c.Close()
	session, err := c.Session(ctx)
	if err != nil {
		return err
	}
	f.tenants = []filledTenant{{id: session.Tenant.ID}}
	for _, name := range []string{"Harbour TV", "流云影业", "Northlight Academy", "海港学校"} {
		t, err := c.Tenants.Create(ctx, name)
		if err != nil {
			return err
		}
		f.tenants = append(f.tenants, filledTenant{id: t.ID})
	}
	return nil
}

// unfinished makes the assets that no worker has taken, on a node without one.
func unfinished(ctx context.Context, s *server, clip string, made map[client.Status]string) error {
	c, err := s.client("")
	if err != nil {
		return err
	}
	defer c.Close()
	queued, err := s.uploadFile(ctx, clip, nil)
	if err != nil {
		return err
	}
	created, err := c.Assets.Create(ctx, client.NewAsset{Name: "empty"})
	if err != nil {
		return err
	}
	_, err = c.Upload(ctx, strings.NewReader("film"), 4, client.UploadOptions{
		Name: "begun.mp4",
		OnCreated: func(token string) error {
			made[client.Uploading] = filepath.Base(token)
			return errOnPurpose
		},
	})
	if made[client.Uploading] == "" {
		return fmt.Errorf("begin an upload: %w", err)
	}
	made[client.Queued], made[client.Created] = queued.ID, created.ID
	return nil
}

// rowPattern is a record to copy.
type rowPattern struct {
	table   string
	columns []string
	values  []any
}

// readRow reads the newest row of a table with value in column; ok is false when
// there is none.
func readRow(tx *store.Tx, table, column, value string) (p rowPattern, ok bool, err error) {
	p.table = table
	rows, err := tx.Query("SELECT name FROM pragma_table_info(?)", table)
	if err != nil {
		return p, false, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return p, false, err
		}
		p.columns = append(p.columns, name)
	}
	if err := rows.Err(); err != nil {
		return p, false, err
	}
	p.values = make([]any, len(p.columns))
	into := make([]any, len(p.columns))
	for i := range into {
		into[i] = &p.values[i]
	}
	row := tx.QueryRow("SELECT "+strings.Join(p.columns, ", ")+" FROM "+table+" WHERE "+column+" = ? ORDER BY id DESC LIMIT 1", value)
	switch err := row.Scan(into...); err {
	case nil:
		return p, true, nil
	case store.ErrNoRows:
		return p, false, nil
	default:
		return p, false, err
	}
}

// text is the text in a column.
func (p rowPattern) text(column string) string {
	text, _ := p.values[slices.Index(p.columns, column)].(string)
	return text
}

// insert writes a copy in which these columns have other values, and in which
// every text that speaks of the old id speaks of the new one.
func (p rowPattern) insert(tx *store.Tx, oldID, newID string, with map[string]any) error {
	values := slices.Clone(p.values)
	for i, column := range p.columns {
		if v, other := with[column]; other {
			values[i] = v
		} else if text, isText := values[i].(string); isText {
			values[i] = strings.ReplaceAll(text, oldID, newID)
		}
	}
	_, err := tx.Exec("INSERT INTO "+p.table+" ("+strings.Join(p.columns, ", ")+") VALUES (?"+strings.Repeat(", ?", len(values)-1)+")", values...)
	return err
}

// assetPattern is an asset's record with that of its job.
type assetPattern struct {
	id     string
	asset  rowPattern
	job    rowPattern
	hasJob bool
}

func readPattern(tx *store.Tx, assetID string) (p assetPattern, err error) {
	p.id = assetID
	var found bool
	if p.asset, found, err = readRow(tx, "assets", "id", assetID); err != nil || !found {
		return p, fmt.Errorf("asset %s has no record: %w", assetID, err)
	}
	p.job, p.hasJob, err = readRow(tx, "jobs", "id", p.asset.text("job"))
	return p, err
}

// fill writes the copies.
func (f *filled) fill(ctx context.Context, made map[client.Status]string) error {
	db, err := store.Open(ctx, filepath.Join(f.data, "store"), store.DefaultConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer db.Close()
	patterns := make(map[client.Status]assetPattern)
	for _, status := range slices.Sorted(maps.Keys(made)) {
		err := db.Read(ctx, func(tx *store.Tx) (err error) {
			patterns[status], err = readPattern(tx, made[status])
			return err
		})
		if err != nil {
			return err
		}
	}
	// A worker that was lost leaves this: the job waits again.
	patterns[client.Processing] = patterns[client.Queued]
	w := filler{f: f, patterns: patterns, random: rand.New(rand.NewPCG(1, 2)), oldest: time.Now().AddDate(-2, 0, 0)}
	const batch = 5_000
	for from := 0; from < f.count; from += batch {
		err := db.Write(ctx, func(tx *store.Tx) error {
			for n := from; n < min(from+batch, f.count); n++ {
				if err := w.add(tx, n); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// filler writes assets, always the same ones but for their ids.
type filler struct {
	f        *filled
	patterns map[client.Status]assetPattern
	random   *rand.Rand
	ids      id.Maker
	oldest   time.Time
}

// add writes the n-th asset, and its job.
func (w *filler) add(tx *store.Tx, n int) error {
	tenant := &w.f.tenants[chosen(w.random.IntN(100), len(tenantShares), func(i int) int { return tenantShares[i] })]
	status := stateShares[chosen(w.random.IntN(1000), len(stateShares), func(i int) int { return stateShares[i].share })].status
	a := filledAsset{id: w.ids.New("ast"), name: videoName(w.random, n), status: status}
	p := w.patterns[status]
	// Two years, the newest is of now.
	made := store.Time(w.oldest.Add(time.Duration(n+1) * (time.Since(w.oldest) / time.Duration(w.f.count))))
	job := ""
	if p.hasJob {
		job = w.ids.New("job")
		err := p.job.insert(tx, p.id, a.id, map[string]any{"id": job, "tenant": tenant.id, "created": made, "group_created": made})
		if err != nil {
			return err
		}
	}
	tenant.assets = append(tenant.assets, a)
	return p.asset.insert(tx, p.id, a.id, map[string]any{
		"tenant": tenant.id, "name": a.name, "status": string(status), "job": job, "created": made, "updated": made,
	})
}

// chosen is which share a number falls into.
func chosen(number, shares int, share func(int) int) int {
	for i := range shares {
		if number -= share(i); number < 0 {
			return i
		}
	}
	return shares - 1
}

// videoName is what somebody may call the n-th video. One in 500 has a rare word.
func videoName(r *rand.Rand, n int) string {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	ending := pick(".mp4", ".mov", ".mkv", ".mp4")
	rare := r.IntN(500) == 0
	if r.IntN(3) == 0 {
		topic := pick("新闻联播", "课程录像", "产品介绍", "会议记录", "旅行日记", "球赛集锦", "音乐现场", "纪录片")
		if rare {
			topic = "流云"
		}
		return fmt.Sprintf("%s%s 第%d集%s", pick("北京", "上海", "港口", "西湖", "长城", "海边", "山村", "学校"), topic, n, ending)
	}
	topic := pick("interview", "lecture", "product demo", "match", "concert", "trailer", "holiday", "news", "walkthrough", "meeting")
	if rare {
		topic = "aurora"
	}
	return fmt.Sprintf("%s %s take %d%s", pick("Harbour", "Studio", "Northlight", "Main hall", "City", "Old town", "Field", "River"), topic, n, ending)
}
