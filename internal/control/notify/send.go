package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/store"
)

const (
	sendAtOnce   = 16 // tries at the same time
	sendPerHost  = 2  // of which to one host, so that a slow one does not hold up others
	maxResponse  = 1 << 10
	cleanEvery   = 10 * time.Minute
	signatureVer = "v1,"
)

// due is a delivery whose moment has come.
type due struct {
	id, webhook, event, body, url, secret string
	attempts                              int
}

func (d due) host() string {
	u, err := url.Parse(d.url)
	if err != nil {
		return d.url
	}
	return u.Host
}

// sender knows what is on its way. It belongs to one goroutine.
type sender struct {
	service *Service
	flying  map[string]string // delivery to host
	hosts   map[string]int
	landed  chan string
}

// send sends what is due until ctx ends.
func (s *Service) send(ctx context.Context) error {
	sender := &sender{service: s, flying: make(map[string]string), hosts: make(map[string]int), landed: make(chan string)}
	var group errgroup.Group
	defer func() {
		go func() {
			for range sender.landed {
			}
		}()
		_ = group.Wait()
		close(sender.landed)
	}()
	var cleaned time.Time
	for ctx.Err() == nil {
		if err := sender.fill(ctx, &group); err != nil && ctx.Err() == nil {
			s.log.Error("notify: deliveries cannot be read", "error", err)
		}
		if now := time.Now(); now.Sub(cleaned) > cleanEvery {
			cleaned = now
			if err := s.db.Write(ctx, func(tx *store.Tx) error { return cleanDeliveries(tx, now) }); err != nil && ctx.Err() == nil {
				s.log.Error("notify: old deliveries cannot be removed", "error", err)
			}
		}
		select {
		case id := <-sender.landed:
			sender.hosts[sender.flying[id]]--
			delete(sender.flying, id)
		case <-s.wake:
		case <-time.After(s.timing.poll):
		case <-ctx.Done():
		}
	}
	return nil
}

// fill sends off what is due, as far as there are free places.
func (s *sender) fill(ctx context.Context, group *errgroup.Group) error {
	if len(s.flying) >= sendAtOnce {
		return nil
	}
	list, err := s.service.due(ctx)
	if err != nil {
		return err
	}
	for _, d := range list {
		host := d.host()
		if s.flying[d.id] != "" || s.hosts[host] >= sendPerHost || len(s.flying) >= sendAtOnce {
			continue
		}
		s.flying[d.id] = host
		s.hosts[host]++
		group.Go(func() error {
			s.service.deliver(ctx, d)
			s.landed <- d.id
			return nil
		})
	}
	return nil
}

// due returns the first deliveries of each webhook whose moment has come: enough
// that those on their way do not hide the next.
func (s *Service) due(ctx context.Context) (list []due, err error) {
	now := store.Time(time.Now())
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		list = nil
		hooks, err := queryHooks(tx, `enabled = 1 AND EXISTS (SELECT 1 FROM deliveries d WHERE d.webhook = webhooks.id AND d.state = 'waiting' AND d.next_at <= ?)`, now)
		if err != nil {
			return err
		}
		for _, h := range hooks {
			found, err := dueOf(tx, h, now)
			if err != nil {
				return err
			}
			list = append(list, found...)
		}
		return nil
	})
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list, err
}

func dueOf(tx *store.Tx, h hook, now int64) (list []due, err error) {
	rows, err := tx.Query(`SELECT id, event_id, body, attempts FROM deliveries WHERE webhook = ? AND state = 'waiting' AND next_at <= ?
		ORDER BY next_at, id LIMIT ?`, h.ID, now, 2*sendPerHost)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		d := due{webhook: h.ID, url: h.URL, secret: h.secret}
		if err := rows.Scan(&d.id, &d.event, &d.body, &d.attempts); err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, rows.Err()
}

// deliver makes one try and keeps its outcome. When that cannot be kept, the try
// is made again: a receiver knows a message by its webhook-id.
func (s *Service) deliver(ctx context.Context, d due) {
	o := s.try(ctx, d)
	if ctx.Err() != nil && o.status == 0 {
		return // stopped, which says nothing about the receiver
	}
	if err := s.db.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error { return s.note(tx, d, o) }); err != nil {
		s.log.Error("notify: the outcome of a delivery cannot be kept", "delivery", d.id, "error", err)
		select { // or the same try would be made at once, again and again
		case <-time.After(s.timing.poll):
		case <-ctx.Done():
		}
	}
}

func (s *Service) try(ctx context.Context, d due) outcome {
	ctx, cancel := context.WithTimeout(ctx, s.timing.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, strings.NewReader(d.body))
	if err != nil {
		return outcome{problem: "the url cannot be used"}
	}
	sent := strconv.FormatInt(time.Now().Unix(), 10)
	signature, err := sign(d.secret, d.event, sent, d.body)
	if err != nil {
		return outcome{problem: "the webhook's secret is damaged: make a new webhook"}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "liuyun-webhook/1")
	request.Header.Set("webhook-id", d.event)
	request.Header.Set("webhook-timestamp", sent)
	request.Header.Set("webhook-signature", signature)
	response, err := s.client.Do(request)
	if err != nil {
		return outcome{problem: explain(ctx, err, s.timing.timeout)}
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxResponse)) // what came is worth keeping
	o := outcome{status: response.StatusCode, response: text(body)}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		o.problem = fmt.Sprintf("the receiver answered %d; an answer from 200 to 299 counts as received, redirects are not followed", response.StatusCode)
	}
	return o
}

// explain says why there was no answer, without the URL, which may hold a secret.
func explain(ctx context.Context, err error, timeout time.Duration) string {
	var f *fault.Error
	var wrapped *url.Error
	switch {
	case errors.As(err, &f):
		return f.Message
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %v", timeout)
	case errors.As(err, &wrapped):
		return text([]byte(wrapped.Err.Error()))
	}
	return "no connection"
}

// text makes bytes of others fit to be kept and shown.
func text(b []byte) string {
	return strings.ToValidUTF8(string(bytes.ReplaceAll(b, []byte{0}, nil)), "�")
}

// sign makes the signature of Standard Webhooks, symmetric version 1.
func sign(secret, id, timestamp, body string) (string, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "." + body))
	return signatureVer + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

// jitter spreads tries, so that those that failed together do not come together.
func jitter(d time.Duration) time.Duration {
	return d*4/5 + rand.N(d*2/5+1)
}

func microseconds(t time.Time) string { return strconv.FormatInt(store.Time(t), 10) }
