package cert

import (
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/store"
)

// Limits of what one edge can put here.
const (
	longestKey   = 1 << 10
	largestValue = 64 << 10
	putAtOnce    = 8
)

// How long what nobody has changed is kept. Certificates that people trust live 398 days
// at most; a challenge is answered within the hour.
const (
	keepCertificates = 400 * 24 * time.Hour
	keepChallenges   = 24 * time.Hour
	keepLocks        = 30 * 24 * time.Hour
)

// Migrations makes the tables of this package. Keys are compared byte by byte, whatever
// the database's collation is: a folder is a range of them.
func Migrations() store.Migrations {
	return store.Migrations{Set: "cert", Steps: []store.Step{{
		SQLite: `
CREATE TABLE certificates (path TEXT PRIMARY KEY, value BLOB NOT NULL, modified BIGINT NOT NULL);
CREATE TABLE certificate_locks (name TEXT PRIMARY KEY, token BIGINT NOT NULL, holder TEXT NOT NULL, expires BIGINT NOT NULL);`,
		Postgres: `
CREATE TABLE certificates (path TEXT COLLATE "C" PRIMARY KEY, value BYTEA NOT NULL, modified BIGINT NOT NULL);
CREATE TABLE certificate_locks (name TEXT PRIMARY KEY, token BIGINT NOT NULL, holder TEXT NOT NULL, expires BIGINT NOT NULL);`,
	}}}
}

// checkKey wants parts between slashes, none of which means anything to a file system.
func checkKey(key string) error {
	if key == "" || len(key) > longestKey || !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool { return unicode.IsControl(r) || r == '\\' }) {
		return fault.New(fault.Invalid, "a key has 1 to %d bytes of UTF-8 without control characters and backslashes", longestKey)
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." {
			return fault.New(fault.Invalid, "the key %q has a part that is no name", key)
		}
	}
	return nil
}

func checkChange(in edge.CertificateChange) error {
	if len(in.Put) > putAtOnce || len(in.Put) == 0 && in.Remove == "" {
		return fault.New(fault.Invalid, "a change puts 1 to %d values, or removes some", putAtOnce)
	}
	if in.Remove != "" {
		if err := checkKey(in.Remove); err != nil {
			return err
		}
	}
	if in.Under != nil {
		if err := checkKey(in.Under.Name); err != nil {
			return err
		}
	}
	for _, entry := range in.Put {
		if err := checkKey(entry.Key); err != nil {
			return err
		}
		if len(entry.Value) > largestValue {
			return fault.New(fault.Limit, "the value of %s has %d bytes: at most %d", entry.Key, len(entry.Value), largestValue)
		}
	}
	return nil
}

func get(tx *store.Tx, key string) (v edge.CertificateValue, err error) {
	var modified int64
	err = tx.QueryRow("SELECT value, modified FROM certificates WHERE path = ?", key).Scan(&v.Value, &modified)
	if errors.Is(err, store.ErrNoRows) {
		return v, fault.New(fault.NotFound, "there is nothing under %s", key)
	}
	v.Modified = store.FromTime(modified)
	return v, err
}

// below returns up to limit keys below prefix, those after the key after.
func below(tx *store.Tx, prefix, after string, limit int) ([]string, error) {
	first, end := folder(prefix)
	rows, err := tx.Query("SELECT path FROM certificates WHERE path > ? AND path < ? ORDER BY path LIMIT ?", max(first, after), end, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	keys := []string{}
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

// folder returns between what the keys below prefix are: 0 follows the slash.
func folder(prefix string) (first, end string) { return prefix + "/", prefix + "0" }

func put(tx *store.Tx, entry edge.CertificateEntry, now time.Time) error {
	value := entry.Value
	if value == nil {
		value = []byte{}
	}
	_, err := tx.Exec(`INSERT INTO certificates (path, value, modified) VALUES (?, ?, ?)
		ON CONFLICT (path) DO UPDATE SET value = excluded.value, modified = excluded.modified`, entry.Key, value, store.Time(now))
	return err
}

func remove(tx *store.Tx, key string) error {
	first, end := folder(key)
	_, err := tx.Exec("DELETE FROM certificates WHERE path = ? OR (path > ? AND path < ?)", key, first, end)
	return err
}

func checkCount(tx *store.Tx, most int) error {
	var count int
	if err := tx.QueryRow("SELECT COUNT(*) FROM certificates").Scan(&count); err != nil {
		return err
	}
	if count > most {
		return fault.New(fault.Limit, "%d values of certificates are kept, which is the most: remove sites", most)
	}
	return nil
}

// acquire gets a lock for a holder, or is fault.Conflict while another has it. The
// record of a free lock stays for a while, so that the next token is greater. It begins
// at the time, so that it is greater even when the record is gone.
func acquire(tx *store.Tx, name, holder string, now time.Time, most int) (int64, error) {
	var token, expires int64
	var present string
	err := tx.QueryRow("SELECT token, holder, expires FROM certificate_locks WHERE name = ?", name).Scan(&token, &present, &expires)
	switch {
	case errors.Is(err, store.ErrNoRows):
		if err := checkLocks(tx, most); err != nil {
			return 0, err
		}
	case err != nil:
		return 0, err
	case expires > store.Time(now) && present == holder:
		return token, nil
	case expires > store.Time(now):
		return 0, fault.New(fault.Conflict, "another has the lock %s", name)
	}
	token = max(token+1, store.Time(now))
	_, err = tx.Exec(`INSERT INTO certificate_locks (name, token, holder, expires) VALUES (?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET token = excluded.token, holder = excluded.holder, expires = excluded.expires`,
		name, token, holder, store.Time(now.Add(lease)))
	return token, err
}

func checkLocks(tx *store.Tx, most int) error {
	var count int
	if err := tx.QueryRow("SELECT COUNT(*) FROM certificate_locks").Scan(&count); err != nil {
		return err
	}
	if count >= most {
		return fault.New(fault.Limit, "%d locks of certificates are kept, which is the most", most)
	}
	return nil
}

// checkHold is fault.Conflict when another has got the lock since. That it has run out
// does not matter while nobody else has it.
func checkHold(tx *store.Tx, hold edge.CertificateHold) error {
	var token int64
	err := tx.QueryRow("SELECT token FROM certificate_locks WHERE name = ?", hold.Name).Scan(&token)
	if errors.Is(err, store.ErrNoRows) || err == nil && token != hold.Token {
		return fault.New(fault.Conflict, "the lock %s was lost", hold.Name)
	}
	return err
}

func setExpiry(tx *store.Tx, hold edge.CertificateHold, expires time.Time) error {
	if err := checkHold(tx, hold); err != nil {
		return err
	}
	_, err := tx.Exec("UPDATE certificate_locks SET expires = ? WHERE name = ?", store.Time(expires), hold.Name)
	return err
}

// prune removes what nobody has changed for so long that nobody needs it. Accounts
// stay, for they do not end.
func prune(tx *store.Tx, now time.Time) error {
	if _, err := tx.Exec("DELETE FROM certificates WHERE modified < ? AND path NOT LIKE 'acme/%'", store.Time(now.Add(-keepCertificates))); err != nil {
		return err
	}
	if _, err := tx.Exec("DELETE FROM certificates WHERE modified < ? AND path LIKE 'acme/%/challenge_tokens/%'", store.Time(now.Add(-keepChallenges))); err != nil {
		return err
	}
	// A lock that was freed has no time to expire any more; its token says when it was got.
	_, err := tx.Exec("DELETE FROM certificate_locks WHERE expires < ? AND token < ?", store.Time(now.Add(-keepLocks)), store.Time(now.Add(-keepLocks)))
	return err
}
