package live

import (
	"strings"

	"liuyun/internal/kit/store"
)

const recordingColumns = `asset, stream, tenant, node, folder, first_segment, last_segment, clip, started`

func insertRecording(tx *store.Tx, r *recording) error {
	_, err := tx.Exec(`INSERT INTO recordings (`+recordingColumns+`) VALUES (?`+strings.Repeat(`, ?`, 8)+`)`,
		r.Asset, r.Stream, r.Tenant, r.Node, r.Folder, r.First, r.Last, number(r.Clip), store.Time(r.Started))
	return err
}

// endRecordingAt notes which segment is the last one.
func endRecordingAt(tx *store.Tx, asset string, last int64) error {
	_, err := tx.Exec(`UPDATE recordings SET last_segment = ? WHERE asset = ?`, last, asset)
	return err
}

func deleteRecording(tx *store.Tx, asset string) error {
	_, err := tx.Exec(`DELETE FROM recordings WHERE asset = ?`, asset)
	return err
}

// listRecordings returns those that are not finished.
func listRecordings(tx *store.Tx, where string, args ...any) ([]recording, error) {
	rows, err := tx.Query(`SELECT `+recordingColumns+` FROM recordings `+where+` ORDER BY started`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []recording
	for rows.Next() {
		var r recording
		var clip, started int64
		if err := rows.Scan(&r.Asset, &r.Stream, &r.Tenant, &r.Node, &r.Folder, &r.First, &r.Last, &clip, &started); err != nil {
			return nil, err
		}
		r.Clip, r.Started = clip != 0, store.FromTime(started)
		list = append(list, r)
	}
	return list, rows.Err()
}
