package client

import (
	"context"
	"iter"
	"time"
)

// Edge is a machine of the cloud that viewers are served from.
type Edge struct {
	ID     string `json:"id"` // of the node
	Name   string `json:"name"`
	Region string `json:"region"`
	URL    string `json:"url"`    // by which viewers reach it
	Shield bool   `json:"shield"` // other edges ask it
	// State is ready, behind (it has not got the last change yet) or away (it is not
	// heard of, and what follows is 0).
	State    string    `json:"state"`
	SeenAt   time.Time `json:"seen_at"`    // zero where it was not heard of since the server started
	Load     float64   `json:"load"`       // from 0 to 1
	Requests float64   `json:"requests"`   // a second
	HitRatio float64   `json:"hit_ratio"`  // the part of the requests that was answered from what is stored
	Egress   float64   `json:"egress"`     // bits a second to viewers
	Ingress  float64   `json:"ingress"`    // bits a second from origins
	Capacity int64     `json:"capacity"`   // bits a second that it can send; 0 where it does not say
	Stored   int64     `json:"stored"`     // bytes
	Own      int64     `json:"stored_own"` // of them, of the tenant that asks
	Waiting  int64     `json:"waiting"`    // requests that wait for an origin
}

// Edges are those of the cloud. They need the scope nodes:read.
type Edges struct{ c *Client }

// List yields the edges, newest first. It ends after the first error.
func (s Edges) List(ctx context.Context) iter.Seq2[Edge, error] {
	return list[Edge](ctx, s.c, "/v1/edges", nil)
}
