package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"liuyun/internal/base/fault"
)

// S3 is a [Store] and an [Appender] on any server that speaks S3. Large objects go up
// in parts, with the same memory whatever their size. Requests that fail are tried
// again.
//
// A process that is killed in the middle of a large Put leaves parts without a name
// in the bucket: give it a lifecycle rule that aborts incomplete uploads after some
// days (longer than an upload may rest).
type S3 struct {
	core    *minio.Core
	idle    func() // closes idle connections
	bucket  string
	prefix  string
	scratch string
	reserve Reserve
}

const (
	// putPart is the memory of one Put of unknown size. It allows 160 GB.
	putPart = 16 << 20
	// smallPut is what is sent in one request without parts.
	smallPut = 1 << 20
)

// NewS3 connects to the bucket that c names, which must exist. Pieces of uploads are
// gathered in files in the folder scratch before they are sent.
func NewS3(ctx context.Context, c Config, scratch string) (*S3, error) {
	where, err := parseS3(c.URL)
	if err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupPath
	if strings.HasSuffix(where.endpoint.Hostname(), ".amazonaws.com") {
		lookup = minio.BucketLookupAuto
	}
	transport, err := minio.DefaultTransport(where.endpoint.Scheme == "https")
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	// The environment's proxy would see what is stored.
	transport.Proxy = nil
	core, err := minio.NewCore(where.endpoint.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(c.AccessKey, c.SecretKey.Reveal(), ""),
		Secure:       where.endpoint.Scheme == "https",
		Region:       where.region,
		BucketLookup: lookup,
		Transport:    transport,
		MaxRetries:   5,
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "objects on S3 cannot be reached with these settings")
	}
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return nil, fault.Wrap(storageError(err), fault.Unavailable, "the folder %s cannot be made", scratch)
	}
	s := &S3{core: core, idle: transport.CloseIdleConnections, bucket: where.bucket, prefix: where.prefix, scratch: scratch, reserve: c.Reserve(scratch)}
	exists, err := core.BucketExists(ctx, where.bucket)
	if err != nil {
		s.Close()
		return nil, fault.Wrap(err, fault.Unavailable, "the S3 server at %s does not let us into the bucket %q: check endpoint, region and keys", where.endpoint.Host, where.bucket)
	}
	if !exists {
		s.Close()
		return nil, fault.New(fault.NotFound, "the S3 server at %s has no bucket %q: make it first", where.endpoint.Host, where.bucket)
	}
	return s, nil
}

// Close ends idle connections.
func (s *S3) Close() error {
	s.idle()
	return nil
}

// Put stores an object, in parts when it is large.
func (s *S3) Put(ctx context.Context, name string, r io.Reader) (Info, error) {
	if err := CheckName(name); err != nil {
		return Info{}, err
	}
	remembered := &firstError{r: r}
	head, err := io.ReadAll(io.LimitReader(remembered, smallPut))
	if err != nil {
		return Info{}, err
	}
	size, body := int64(len(head)), io.Reader(bytes.NewReader(head))
	if size == smallPut {
		size, body = -1, io.MultiReader(body, remembered)
	}
	done, err := s.core.Client.PutObject(ctx, s.bucket, s.prefix+name, body, size, minio.PutObjectOptions{
		ContentType: "application/octet-stream", PartSize: putPart, NumThreads: 1})
	if remembered.err != nil {
		return Info{}, remembered.err
	}
	if err != nil {
		return Info{}, s.explain(ctx, name, err)
	}
	modified := done.LastModified
	if modified.IsZero() {
		modified = time.Now()
	}
	return Info{Name: name, Size: done.Size, Modified: modified.UTC(), ETag: strings.Trim(done.ETag, `"`)}, nil
}

// Open describes the object; its bytes are asked for when they are read.
func (s *S3) Open(ctx context.Context, name string) (Object, error) {
	info, err := s.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	return &rangeObject{ctx: ctx, info: info, fetch: func(ctx context.Context, from, length int64) (io.ReadCloser, error) {
		var options minio.GetObjectOptions
		if err := errors.Join(options.SetRange(from, from+length-1), options.SetMatchETag(info.ETag)); err != nil {
			return nil, err
		}
		body, _, _, err := s.core.GetObject(ctx, s.bucket, s.prefix+name, options)
		if err != nil {
			return nil, s.explain(ctx, name, err)
		}
		return body, nil
	}}, nil
}

// Stat asks for the headers alone.
func (s *S3) Stat(ctx context.Context, name string) (Info, error) {
	if err := CheckName(name); err != nil {
		return Info{}, err
	}
	info, err := s.core.StatObject(ctx, s.bucket, s.prefix+name, minio.StatObjectOptions{})
	if err != nil {
		return Info{}, s.explain(ctx, name, err)
	}
	return s.infoOf(info), nil
}

func (s *S3) infoOf(info minio.ObjectInfo) Info {
	return Info{Name: strings.TrimPrefix(info.Key, s.prefix), Size: info.Size, Modified: info.LastModified.UTC(), ETag: strings.Trim(info.ETag, `"`)}
}

// List asks for a thousand names at a time.
func (s *S3) List(ctx context.Context, prefix string, fn func(Info) error) error {
	if prefix != "" {
		if err := CheckPrefix(prefix); err != nil {
			return err
		}
	}
	return s.list(ctx, prefix, func(info Info) error {
		if CheckName(info.Name) != nil {
			return nil // what an Appender gathers, or none of ours
		}
		return fn(info)
	})
}

func (s *S3) list(ctx context.Context, prefix string, fn func(Info) error) error {
	for info := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}) {
		if info.Err != nil {
			return s.explain(ctx, prefix, info.Err)
		}
		if err := fn(s.infoOf(info)); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// Delete removes an object.
func (s *S3) Delete(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return s.remove(ctx, name)
}

func (s *S3) remove(ctx context.Context, name string) error {
	err := s.explain(ctx, name, s.core.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{}))
	if fault.CodeOf(err) == fault.NotFound {
		return nil
	}
	return err
}

// DeleteAll removes the manifest of a folder first, so that GetFolder does not find
// half of one.
func (s *S3) DeleteAll(ctx context.Context, prefix string) error {
	if err := CheckPrefix(prefix); err != nil {
		return err
	}
	if err := s.remove(ctx, prefix+manifestName); err != nil {
		return err
	}
	return s.removeAll(ctx, prefix)
}

func (s *S3) removeAll(ctx context.Context, prefix string) error {
	var names []minio.ObjectInfo
	flush := func() error {
		queue := make(chan minio.ObjectInfo, len(names))
		for _, name := range names {
			queue <- name
		}
		close(queue)
		names = names[:0]
		var err error
		for failed := range s.core.RemoveObjects(ctx, s.bucket, queue, minio.RemoveObjectsOptions{}) {
			if e := s.explain(ctx, failed.ObjectName, failed.Err); fault.CodeOf(e) != fault.NotFound {
				err = errors.Join(err, e)
			}
		}
		return err
	}
	err := s.list(ctx, prefix, func(info Info) error {
		names = append(names, minio.ObjectInfo{Key: s.prefix + info.Name})
		if len(names) == 1000 {
			return flush()
		}
		return nil
	})
	if err != nil || len(names) == 0 {
		return err
	}
	return flush()
}

// explain turns what the server said into a fault. Messages of the client hold no
// keys; they are for operators all the same.
func (s *S3) explain(ctx context.Context, name string, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	response := minio.ToErrorResponse(err)
	switch response.Code {
	case minio.NoSuchKey, minio.NoSuchUpload, "NotFound":
		return notFound(name)
	case minio.PreconditionFailed:
		return fault.Wrap(err, fault.Conflict, "%q was replaced while it was read", name)
	case minio.AccessDenied, "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return fault.Wrap(err, fault.Unavailable, "the S3 server refuses our keys")
	case "XMinioStorageFull", "InsufficientStorage", "QuotaExceeded":
		return fault.Wrap(err, fault.StorageFull, "the S3 server has no room left")
	}
	switch response.StatusCode {
	case http.StatusNotFound:
		return notFound(name)
	case http.StatusInsufficientStorage:
		return fault.Wrap(err, fault.StorageFull, "the S3 server has no room left")
	}
	return fault.Wrap(err, fault.Unavailable, "the S3 server does not do what it should")
}
