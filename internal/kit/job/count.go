package job

import "liuyun/internal/kit/store"

// Counts says how many jobs wait for a worker now, wait for something else (a time,
// room on a disk, another job), and run.
func (q *Queue) Counts(tx *store.Tx) (ready, held, running int64, err error) {
	// Each is a partial index: what has ended is not looked at.
	err = tx.QueryRow(`SELECT (SELECT count(*) FROM jobs WHERE ready > 0),
		(SELECT count(*) FROM jobs WHERE state = 'waiting' AND ready = 0),
		(SELECT count(*) FROM jobs WHERE state = 'running')`).Scan(&ready, &held, &running)
	return ready, held, running, err
}
