package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"liuyun/internal/testkit"
)

const manyRecords = 100_000

func records() Migrations {
	return Migrations{Set: "records", Steps: []Step{
		{SQL: `CREATE TABLE records (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL, doc TEXT NOT NULL);
CREATE INDEX records_tenant ON records (tenant, id);
CREATE INDEX records_status ON records (tenant, status, id)`},
		TextIndex("records", "name"),
	}}
}

// BenchmarkLists shows how long lists take among 100,000 records, 90,000 of them
// of one tenant: p99 in milliseconds, and how long opening takes with them.
func BenchmarkLists(b *testing.B) {
	b.Run(SQLite, func(b *testing.B) { benchmarkLists(b, sqliteOpener(b)) })
	b.Run(Postgres, func(b *testing.B) { benchmarkLists(b, postgresOpener(b, testkit.Postgres(b))) })
}

func benchmarkLists(b *testing.B, open opener) {
	db := migrated(b, open(b), records())
	fill(b, db)
	write(b, db, "ANALYZE") // as PostgreSQL does by itself within a minute
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			db := migrated(b, open(b), records())
			err := db.Read(b.Context(), func(tx *Tx) error {
				_, err := column(tx, "SELECT id FROM records WHERE tenant = ? ORDER BY id DESC LIMIT 50", "a")
				return err
			})
			if err = errors.Join(err, db.Close()); err != nil {
				b.Fatal(err)
			}
		}
	})
	const page = " ORDER BY id DESC LIMIT 51"
	queries := []struct{ name, where, text string }{
		{"newest", "tenant = 'a'", ""},
		{"deep page", "tenant = 'a' AND id < 'r050000'", ""},
		{"by state, rare", "tenant = 'a' AND status = 'failed'", ""},
		{"small tenant", "tenant = 'b'", ""},
		{"text, one", "tenant = 'a'", "clip 77777"},
		{"text, some", "tenant = 'a'", "harbour"},
		{"text, half", "tenant = 'a'", "holiday"},
		{"text, none", "tenant = 'a'", "nothing like it"},
		{"text, other tenant", "tenant = 'c'", "holiday"},
		{"text, two characters", "tenant = 'a'", "流云"},
		{"text and rare state", "tenant = 'a' AND status = 'failed'", "holiday"},
	}
	for _, query := range queries {
		b.Run(query.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				err := db.Read(b.Context(), func(tx *Tx) error {
					condition, args := tx.Match("records", "name", query.text)
					rows, err := tx.Query("SELECT id, name, status, doc FROM records WHERE "+query.where+" AND "+condition+page, args...)
					if err != nil {
						return err
					}
					defer rows.Close()
					for rows.Next() {
						var id, name, status, doc string
						if err := rows.Scan(&id, &name, &status, &doc); err != nil {
							return err
						}
					}
					return rows.Err()
				})
				if err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

func fill(b *testing.B, db *DB) {
	b.Helper()
	doc := fmt.Sprintf("%01000d", 0)
	for from := 0; from < manyRecords; from += 10_000 {
		err := db.Write(b.Context(), func(tx *Tx) error {
			for i := from; i < from+10_000; i++ {
				tenant, status, name := "a", "ready", fmt.Sprintf("clip %d", i)
				switch {
				case i%10 == 5:
					tenant = "b"
				case i%1000 == 6:
					status = "failed"
				}
				switch {
				case i%2 == 0:
					name += " holiday.mp4"
				case i%101 == 0:
					name += " at the harbour"
				case i%997 == 0:
					name += " 流云"
				}
				_, err := tx.Exec("INSERT INTO records (id, tenant, name, status, doc) VALUES (?, ?, ?, ?, ?)", fmt.Sprintf("r%06d", i), tenant, name, status, doc)
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
