package client

import (
	"context"
	"iter"
	"net/url"
	"strconv"
)

// Page is a part of a list, newest first.
type Page[T any] struct {
	Data []T `json:"data"`
	// Next asks for the part after this one; "" when this is the last.
	Next string `json:"next"`
}

// PageOptions says which part of a list to fetch.
type PageOptions struct {
	Limit int    // at most so many, up to 200; 0 is 50
	After string // Next of the part before
}

func (o PageOptions) values() url.Values {
	query := make(url.Values)
	if o.Limit > 0 {
		query.Set("limit", strconv.Itoa(o.Limit))
	}
	set(query, "after", o.After)
	return query
}

// set leaves out what is empty.
func set(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

// list yields everything in the list at path, page by page, and ends after the
// first error, which comes with a zero T.
func list[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if query == nil {
			query = make(url.Values)
		}
		query.Set("limit", "200")
		for after := ""; ; {
			set(query, "after", after)
			var page Page[T]
			if err := c.get(ctx, path, query, &page); err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page.Data {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == "" || page.Next == after {
				return
			}
			after = page.Next
		}
	}
}
