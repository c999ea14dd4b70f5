package store

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// trigram is how many characters the terms of an index have.
const trigram = 3

// dense is how many matches make an index useless: a query that wants the newest
// few finds them sooner by looking at each row.
const dense = 2000

// TextIndex is the step that makes [Tx.Match] fast on a text column. The table's
// rows are not written with INSERT OR REPLACE, which SQLite does not tell the
// index of. Where PostgreSQL may not have its pg_trgm extension, there is no
// index and Match looks at each row.
func TextIndex(table, column string) Step {
	index := textTable(table, column)
	return Step{
		// Two more characters end each text, so that its last two begin terms too:
		// then a text of one or two characters is found by how terms begin.
		SQLite: strings.NewReplacer("{index}", index, "{table}", table, "{column}", column, "{ended}", "|| char(2, 2)").Replace(`
CREATE VIEW {index}_rows AS SELECT rowid AS number, {column} {ended} AS {column} FROM {table};
CREATE VIRTUAL TABLE {index} USING fts5({column}, content='{index}_rows', content_rowid='number', tokenize='trigram');
CREATE VIRTUAL TABLE {index}_terms USING fts5vocab('{index}', 'instance');
INSERT INTO {index}({index}) VALUES('rebuild');
CREATE TRIGGER {index}_insert AFTER INSERT ON {table} BEGIN
	INSERT INTO {index}(rowid, {column}) VALUES (new.rowid, new.{column} {ended});
END;
CREATE TRIGGER {index}_delete AFTER DELETE ON {table} BEGIN
	INSERT INTO {index}({index}, rowid, {column}) VALUES ('delete', old.rowid, old.{column} {ended});
END;
CREATE TRIGGER {index}_update AFTER UPDATE OF {column} ON {table} BEGIN
	INSERT INTO {index}({index}, rowid, {column}) VALUES ('delete', old.rowid, old.{column} {ended});
	INSERT INTO {index}(rowid, {column}) VALUES (new.rowid, new.{column} {ended});
END;`),
		// Making the extension needs a right that the database's owner may lack.
		Postgres: fmt.Sprintf(`
DO $$ BEGIN
	CREATE EXTENSION IF NOT EXISTS pg_trgm;
	CREATE INDEX %s ON %s USING gin (%s gin_trgm_ops);
EXCEPTION WHEN insufficient_privilege OR undefined_file OR undefined_object OR feature_not_supported THEN
	RAISE NOTICE 'no text index without pg_trgm';
END $$`, index, table, column),
	}
}

func textTable(table, column string) string { return table + "_" + column + "_text" }

// Match returns a condition for WHERE, and its arguments, that holds for the rows
// of table whose column contains text, in whatever case. The table is named in
// the query without an alias, its key is id, and the column has a [TextIndex]. An
// empty text is in every row. It asks the index first, so no rows may be open.
//
// In SQLite a text that very many rows contain is compared with respect to the
// case of letters beyond ASCII.
func (tx *Tx) Match(table, column, text string) (condition string, args []any) {
	if text == "" {
		return "TRUE", nil
	}
	full := table + "." + column
	pattern := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
	if tx.db.Kind() == Postgres {
		condition = full + ` ILIKE ? ESCAPE '\'`
		short := utf8.RuneCountInString(text) < trigram // no index knows it: asking would be a scan more
		if !short && tx.isDense(fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s WHERE %s LIMIT %d) AS found", table, condition, dense), pattern) {
			// No index is for this, and the planner takes it to hold for a third of
			// all rows (DEFAULT_INEQ_SEL), so it goes through the newest.
			condition = "CASE WHEN " + condition + " THEN 1 ELSE 0 END > 0"
		}
		return condition, []any{pattern}
	}
	rows, many := tx.matching(textTable(table, column), text)
	if many {
		return full + ` LIKE ? ESCAPE '\'`, []any{pattern}
	}
	// By id, which ends the indices that lists are read by: SQLite then looks for
	// these few there. By rowid it would go through all that the rest of the query
	// leaves, and ask of each whether it is one of them.
	return fmt.Sprintf("%s.id IN (SELECT id FROM %s WHERE rowid IN (SELECT value FROM json_each(?)))", table, table), []any{rows}
}

// isDense reports whether a count reaches dense. What goes wrong is told by the
// statement that follows.
func (tx *Tx) isDense(query, pattern string) bool {
	count := 0
	return tx.QueryRow(query, pattern).Scan(&count) == nil && count == dense
}

// matching returns the numbers of SQLite's rows that contain text, as a JSON
// list, or that there are very many. What goes wrong is told by the statement that
// follows.
func (tx *Tx) matching(index, text string) (rows string, many bool) {
	from := fmt.Sprintf("SELECT rowid AS number FROM %s WHERE %s MATCH ?", index, index)
	args := []any{`"` + strings.ReplaceAll(text, `"`, `""`) + `"`}
	if utf8.RuneCountInString(text) < trigram {
		begin := strings.ToLower(text)
		from = fmt.Sprintf("SELECT doc AS number FROM %s_terms WHERE term >= ? AND term <= ?", index)
		args = []any{begin, begin + string(utf8.MaxRune)}
	}
	count := 0
	query := fmt.Sprintf("SELECT count(*), json_group_array(number) FROM (%s LIMIT %d)", from, dense)
	err := tx.QueryRow(query, args...).Scan(&count, &rows)
	return rows, err == nil && count == dense
}
