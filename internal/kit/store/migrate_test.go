package store

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
)

func steps(n int) Migrations {
	set := Migrations{Set: "steps"}
	for i := range n {
		text := fmt.Sprintf("INSERT INTO log (n) VALUES (%d)", i+1)
		if i == 0 {
			text = "CREATE TABLE log (n BIGINT); CREATE TABLE unused (n BIGINT); " + text
		}
		set.Steps = append(set.Steps, Step{SQL: text})
	}
	return set
}

func testMigrate(t *testing.T, open opener) {
	db := open(t)
	for _, n := range []int{2, 2, 5} {
		migrated(t, db, steps(n), things())
	}
	if diff := cmp.Diff([]string{"1", "2", "3", "4", "5"}, strs(t, db, "SELECT n FROM log ORDER BY n")); diff != "" {
		t.Errorf("each step once, in order (-want +got)\n%s", diff)
	}
	err := db.Migrate(t.Context(), steps(4))
	if fault.CodeOf(err) != fault.Conflict {
		t.Errorf("an older program: got %v, want conflict", err)
	}
}

func testMigrateFails(t *testing.T, open opener) {
	db := migrated(t, open(t), steps(1))
	bad := steps(3)
	bad.Steps = append(bad.Steps, Step{SQL: "CREATE TABLE half (n BIGINT); INSERT INTO half VALUES (1); INSERT INTO nothing VALUES (1)"})
	if err := db.Migrate(t.Context(), bad); err == nil {
		t.Fatal("a bad step does not fail")
	}
	if diff := cmp.Diff([]string{"1"}, strs(t, db, "SELECT n FROM log")); diff != "" {
		t.Errorf("what a failed migration left (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"1"}, strs(t, db, "SELECT version FROM migrations")); diff != "" {
		t.Errorf("version (-want +got)\n%s", diff)
	}
	migrated(t, db, Migrations{Set: "half", Steps: []Step{{SQL: "CREATE TABLE half (n BIGINT)"}}})
}

func testMigrateAtOnce(t *testing.T, open opener) {
	var group sync.WaitGroup
	for range 4 {
		db := open(t)
		group.Go(func() {
			if err := db.Migrate(t.Context(), steps(5), texts()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := strs(t, open(t), "SELECT count(*) FROM log"); got[0] != "5" {
		t.Errorf("%s steps were taken, want 5", got[0])
	}
}

func texts() Migrations {
	return Migrations{Set: "texts", Steps: []Step{
		{SQL: "CREATE TABLE texts (id TEXT PRIMARY KEY, name TEXT NOT NULL, n BIGINT NOT NULL DEFAULT 0)"},
		TextIndex("texts", "name"),
	}}
}

func testMatch(t *testing.T, open opener) {
	db := migrated(t, open(t), texts())
	names := []string{
		"Holiday in Québec.mp4", "holiday.MOV", "100% pure_gold", `quote " and \ slash`, "流云视频云平台", "云", "a?b 'c'", "abc", "old name",
	}
	for i, n := range names {
		write(t, db, "INSERT INTO texts (id, name) VALUES (?, ?)", fmt.Sprint(i), n)
	}
	write(t, db, "UPDATE texts SET name = 'new name' WHERE name = 'old name'")
	write(t, db, "UPDATE texts SET n = n + 1")
	write(t, db, "INSERT INTO texts (id, name) VALUES ('x', 'holiday deleted')")
	write(t, db, "DELETE FROM texts WHERE id = 'x'")
	write(t, db, "INSERT INTO texts (id, name) VALUES ('0', 'holiday again') ON CONFLICT (id) DO UPDATE SET n = 7")
	tests := []struct {
		text string
		want []string
	}{
		{"holiday", []string{"0", "1"}},
		{"HOLIDAY", []string{"0", "1"}},
		{"liday.m", []string{"1"}},
		{"québec", []string{"0"}},
		{"mo", []string{"1"}},
		{"MO", []string{"1"}},
		{"%", []string{"2"}},
		{"0% pure_", []string{"2"}},
		{"e_g", []string{"2"}},
		{"_", []string{"2"}},
		{`" and`, []string{"3"}},
		{`\`, []string{"3"}},
		{`d \ s`, []string{"3"}},
		{"云", []string{"4", "5"}},
		{"视频", []string{"4"}},
		{"视频云", []string{"4"}},
		{"云平台", []string{"4"}},
		{"?b '", []string{"6"}},
		{"abc OR xyz", nil},
		{"ab*", nil},
		{"old name", nil},
		{"new name", []string{"8"}},
		{"deleted", nil},
		{"again", nil},
		{"  ", nil},
		{"", []string{"0", "1", "2", "3", "4", "5", "6", "7", "8"}},
	}
	check := func(db *DB) {
		t.Helper()
		for _, test := range tests {
			if diff := cmp.Diff(test.want, matching(t, db, test.text)); diff != "" {
				t.Errorf("%q (-want +got)\n%s", test.text, diff)
			}
		}
	}
	check(db)
	// So many that the index is passed by.
	err := db.Write(t.Context(), func(tx *Tx) error {
		for i := range dense + 1 {
			if _, err := tx.Exec("INSERT INTO texts (id, name) VALUES (?, ?)", fmt.Sprint("m", i), fmt.Sprint("many ", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := matching(t, db, "MANY"); len(got) != dense+1 {
		t.Errorf("found %d of %d", len(got), dense+1)
	}
	write(t, db, "DELETE FROM texts WHERE id LIKE 'm%'")
	check(db)
	// What a backup brings back is found.
	path := filepath.Join(t.TempDir(), "backup")
	if err := db.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	restored := sqliteOpener(t)(t)
	if err := restored.Restore(t.Context(), path, texts()); err != nil {
		t.Fatal(err)
	}
	check(restored)
}

func matching(t *testing.T, db *DB, text string) (found []string) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *Tx) (err error) {
		condition, args := tx.Match("texts", "name", text)
		found, err = column(tx, "SELECT id FROM texts WHERE n >= ? AND "+condition+" ORDER BY id", append([]any{0}, args...)...)
		return err
	})
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return found
}
