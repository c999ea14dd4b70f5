package store

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"liuyun/internal/base/fault"
)

// A backup is gzipped lines of JSON: a header, then for each table a line that
// names it and a line for each row, then a line that counts the rows.

// backupFormat is the only format so far.
const backupFormat = 1

type header struct {
	Format   int            `json:"liuyun_records"`
	Versions map[string]int `json:"versions"` // of each set of migrations
}

// tableLine begins a table, or ends the backup when Rows is set.
type tableLine struct {
	Table   string   `json:"table,omitempty"`
	Columns []string `json:"columns,omitempty"`
	Rows    *int64   `json:"rows,omitempty"` // of all tables
}

// Backup writes all records, as one moment shows them, to the file at path,
// readable by its owner only, in place of what was there. The file is whole or not there. It is the same for
// both kinds of database, so it also moves records from one to the other.
func (db *DB) Backup(ctx context.Context, path string) error {
	err := writeWhole(path, func(w io.Writer) error {
		return db.Read(ctx, func(tx *Tx) error { return tx.dump(json.NewEncoder(w)) })
	})
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fault.Wrap(err, fault.StorageFull, "no room for the backup at %s: free space or choose another place", path)
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return fault.Wrap(err, fault.Invalid, "the backup %s cannot be written: choose a folder that exists and that you may write to", path)
	}
	return err
}

// writeWhole gives fn a gzipped file that gets its name when everything is on the
// disk.
func writeWhole(path string, fn func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // when it went wrong; else the name is gone
	defer file.Close()
	buffered := bufio.NewWriterSize(file, 1<<16)
	zipped := gzip.NewWriter(buffered)
	if err := errors.Join(fn(zipped), zipped.Close(), buffered.Flush(), file.Sync()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

func (tx *Tx) dump(out *json.Encoder) error {
	out.SetEscapeHTML(false)
	versions, err := tx.versions()
	if err != nil {
		return err
	}
	if err := out.Encode(header{Format: backupFormat, Versions: versions}); err != nil {
		return err
	}
	tables, err := tx.tables()
	if err != nil {
		return err
	}
	total := int64(0)
	for _, table := range tables {
		n, err := tx.dumpTable(out, table)
		if err != nil {
			return fmt.Errorf("table %s: %w", table, err)
		}
		total += n
	}
	return out.Encode(tableLine{Rows: &total})
}

func (tx *Tx) versions() (map[string]int, error) {
	rows, err := tx.Query("SELECT set_name, version FROM migrations")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	versions := make(map[string]int)
	for rows.Next() {
		var set string
		var version int
		if err := rows.Scan(&set, &version); err != nil {
			return nil, err
		}
		versions[set] = version
	}
	return versions, rows.Err()
}

// tables names the tables that hold records, in the order in which they were
// made. What this package and a text index need is none of them.
func (tx *Tx) tables() ([]string, error) {
	names, err := tx.allTables()
	return slices.DeleteFunc(names, func(name string) bool { return name == migrationsTable || name == restoredTable }), err
}

// allTables is tables, with those of this package.
func (tx *Tx) allTables() (names []string, err error) {
	query := `SELECT s.name FROM sqlite_schema s JOIN pragma_table_list l ON l.name = s.name
WHERE l.schema = 'main' AND l.type = 'table' AND s.type = 'table' AND s.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY s.rowid`
	if tx.db.Kind() == Postgres {
		query = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace ORDER BY oid"
	}
	rows, err := tx.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

func (tx *Tx) dumpTable(out *json.Encoder, table string) (count int64, err error) {
	rows, err := tx.Query("SELECT * FROM " + quoted(table))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	columns, err := rows.rows.Columns()
	if err != nil {
		return 0, err
	}
	types, err := rows.rows.ColumnTypes()
	if err != nil {
		return 0, err
	}
	if err := out.Encode(tableLine{Table: table, Columns: columns}); err != nil {
		return 0, err
	}
	values := make([]any, len(columns))
	pointers := make([]any, len(columns))
	for i := range values {
		pointers[i] = &values[i]
	}
	for ; rows.Next(); count++ {
		if err := rows.Scan(pointers...); err != nil {
			return 0, err
		}
		for i, value := range values {
			switch v := value.(type) {
			case []byte:
				values[i] = binary{v}
			case int64: // SQLite's truth is a number
				if types[i].DatabaseTypeName() == "BOOLEAN" {
					values[i] = v != 0
				}
			}
		}
		if err := out.Encode(values); err != nil {
			return 0, err
		}
	}
	return count, rows.Err()
}

// binary is how a row holds bytes that are no text.
type binary struct {
	Base64 []byte `json:"base64"`
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Restore fills an empty database with what Backup wrote to path, and takes the
// steps that are newer than the backup. A database with tables in it, and a backup
// by a newer program, are fault.Conflict; a file that is no whole backup is
// fault.Invalid. What goes wrong leaves the database empty.
func (db *DB) Restore(ctx context.Context, path string, sets ...Migrations) error {
	return db.migrating(ctx, func(tx *Tx) error { return tx.restore(path, sets) })
}

func (tx *Tx) restore(path string, sets []Migrations) error {
	file, err := os.Open(path)
	if err != nil {
		return cannotOpen(path, err)
	}
	defer file.Close()
	backup, err := openBackup(file)
	if err != nil {
		return err
	}
	if err := tx.prepare(backup.header, sets); err != nil {
		return err
	}
	if err := tx.load(backup); err != nil {
		return err
	}
	return tx.migrate(sets)
}

// prepare makes the tables as they were when the backup was made.
func (tx *Tx) prepare(h header, sets []Migrations) error {
	present, err := tx.tables()
	if err != nil {
		return err
	}
	if len(present) > 0 {
		return notEmpty()
	}
	known := 0
	for _, set := range sets {
		version, ok := h.Versions[set.Set]
		if ok {
			known++
		}
		if version > len(set.Steps) || version < 0 {
			return newerBackup()
		}
		if err := tx.advance(set, version); err != nil {
			return err
		}
	}
	if known != len(h.Versions) {
		return newerBackup()
	}
	if tx.db.Kind() == SQLite {
		_, err = tx.Exec("PRAGMA defer_foreign_keys = ON")
	}
	return err
}

func newerBackup() error {
	return fault.New(fault.Conflict, "the backup was made by a newer liuyun: restore it with that version")
}

// load empties the tables of what their making put there, and fills them.
func (tx *Tx) load(backup *backupReader) error {
	tables, err := tx.tables()
	if err != nil {
		return err
	}
	for i := len(tables) - 1; i >= 0; i-- {
		if _, err := tx.Exec("DELETE FROM " + quoted(tables[i])); err != nil {
			return err
		}
	}
	insert := ""
	for {
		line, row, err := backup.next()
		switch {
		case errors.Is(err, io.EOF):
			return tx.continueSequences(tables)
		case err != nil:
			return err
		case line != nil && !slices.Contains(tables, line.Table):
			return notABackup(fmt.Errorf("unknown table %q", line.Table))
		case line != nil:
			insert = tx.insertInto(line)
		default:
			if _, err := tx.Exec(insert, row...); err != nil {
				return err
			}
		}
	}
}

func (tx *Tx) insertInto(line *tableLine) string {
	var columns []string
	for _, column := range line.Columns {
		columns = append(columns, quoted(column))
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")
	overriding := "" // numbers that the database gave are kept
	if tx.db.Kind() == Postgres {
		overriding = " OVERRIDING SYSTEM VALUE"
	}
	return "INSERT INTO " + quoted(line.Table) + " (" + strings.Join(columns, ", ") + ")" + overriding + " VALUES (" + marks + ")"
}

// continueSequences makes PostgreSQL count on from the numbers that were restored.
// SQLite does so by itself.
func (tx *Tx) continueSequences(tables []string) error {
	if tx.db.Kind() != Postgres {
		return nil
	}
	for _, table := range tables {
		_, err := tx.Exec(strings.ReplaceAll(`DO $$ DECLARE c text; s text; BEGIN
	FOR c IN SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped LOOP
		s := pg_get_serial_sequence('{table}', c);
		IF s IS NOT NULL THEN
			EXECUTE format('SELECT setval(%L, coalesce(max(%I), 0) + 1, false) FROM {table}', s, c);
		END IF;
	END LOOP;
END $$`, "{table}", quoted(table)))
		if err != nil {
			return err
		}
	}
	return nil
}

// maxLine bounds one row of a backup.
const maxLine = 64 << 20

// backupReader reads a backup line by line.
type backupReader struct {
	header  header
	lines   *bufio.Scanner
	columns int // of the present table; 0 before the first one
	rows    int64
}

func openBackup(file io.Reader) (*backupReader, error) {
	zipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, notABackup(err)
	}
	r := &backupReader{lines: bufio.NewScanner(zipped)}
	r.lines.Buffer(nil, maxLine)
	if !r.lines.Scan() {
		return nil, notABackup(r.lines.Err())
	}
	if err := json.Unmarshal(r.lines.Bytes(), &r.header); err != nil || r.header.Format == 0 {
		return nil, notABackup(err)
	}
	if r.header.Format != backupFormat {
		return nil, newerBackup()
	}
	return r, nil
}

func notABackup(err error) error {
	return fault.Wrap(err, fault.Invalid, "the file is no whole backup of liuyun: choose another one")
}

// next returns the beginning of a table or a row, and io.EOF after the last row
// of a whole backup.
func (r *backupReader) next() (*tableLine, []any, error) {
	if !r.lines.Scan() {
		return nil, nil, notABackup(r.lines.Err()) // it has no end
	}
	text := r.lines.Bytes()
	if len(text) > 0 && text[0] == '[' {
		row, err := parseRow(text)
		if err != nil || r.columns == 0 || len(row) != r.columns {
			return nil, nil, notABackup(err)
		}
		r.rows++
		return nil, row, nil
	}
	var line tableLine
	if err := json.Unmarshal(text, &line); err != nil {
		return nil, nil, notABackup(err)
	}
	if line.Rows != nil {
		// The last read is what checks the file's sum.
		if *line.Rows != r.rows || r.lines.Scan() || r.lines.Err() != nil {
			return nil, nil, notABackup(r.lines.Err())
		}
		return nil, nil, io.EOF
	}
	if line.Table == "" || len(line.Columns) == 0 {
		return nil, nil, notABackup(nil)
	}
	r.columns = len(line.Columns)
	return &line, nil, nil
}

// parseRow reads a row's values as the database takes them.
func parseRow(text []byte) ([]any, error) {
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	var row []any
	if err := decoder.Decode(&row); err != nil {
		return nil, err
	}
	for i, value := range row {
		switch v := value.(type) {
		case json.Number:
			if n, err := v.Int64(); err == nil {
				row[i] = n
				continue
			}
			f, err := v.Float64()
			if err != nil {
				return nil, err
			}
			row[i] = f
		case map[string]any:
			text, _ := v["base64"].(string)
			b, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return nil, err
			}
			row[i] = b
		case []any:
			return nil, errors.New("a value is a list")
		}
	}
	return row, nil
}
