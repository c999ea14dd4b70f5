// Package store keeps records: in SQLite on one machine, in PostgreSQL where
// several control nodes share them. It is the only package that knows either. One
// conformance suite holds for both.
//
// Statements are written once, in the SQL that both understand, with ? for
// arguments; where they differ, a migration says both. Times are kept as
// microseconds since 1970 (BIGINT), documents as TEXT.
package store
