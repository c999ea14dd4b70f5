package blob

import (
	"context"
	"io"
)

// Backend is what each kind of store is.
type Backend interface {
	Store
	Appender
}

// Local is a store that this process opened, and closes.
type Local interface {
	Backend
	io.Closer
}

var (
	_ Local = (*FS)(nil)
	_ Local = (*S3)(nil)
)

// Open opens the store that c names: the folder, or S3. Pieces of uploads to S3 are
// gathered in the folder scratch.
func Open(ctx context.Context, c Config, folder, scratch string) (Local, error) {
	if c.URL == "" {
		f, err := NewFS(folder, c.Reserve(folder))
		if err != nil {
			return nil, err
		}
		return f, nil
	}
	s, err := NewS3(ctx, c, scratch)
	if err != nil {
		return nil, err
	}
	return s, nil
}
