package vod

import (
	"context"
	"crypto/rand"

	"liuyun/internal/kit/store"
)

// secretSize is the bytes of a secret: as many as HMAC-SHA256 uses.
const secretSize = 32

// Secrets returns what playback addresses are signed with, the newest first; all
// control nodes share them. The first call makes one.
func Secrets(ctx context.Context, db *store.DB) ([][]byte, error) {
	var secrets [][]byte
	err := db.Write(ctx, func(tx *store.Tx) error {
		var err error
		if secrets, err = readSecrets(tx); err != nil || len(secrets) > 0 {
			return err
		}
		secret := make([]byte, secretSize)
		rand.Read(secret) // never fails
		secrets = [][]byte{secret}
		_, err = tx.Exec(`INSERT INTO playback_secrets (number, secret) VALUES (1, ?)`, secret)
		return err
	})
	return secrets, err
}

func readSecrets(tx *store.Tx) ([][]byte, error) {
	rows, err := tx.Query(`SELECT secret FROM playback_secrets ORDER BY number DESC`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var secrets [][]byte
	for rows.Next() {
		var secret []byte
		if err := rows.Scan(&secret); err != nil {
			return nil, err
		}
		secrets = append(secrets, secret)
	}
	return secrets, rows.Err()
}
