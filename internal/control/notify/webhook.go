package notify

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/store"
)

// maxWebhooks bounds what one event of a tenant sets going.
const maxWebhooks = 50

const secretPrefix = "whsec_"

// Webhook is an address that is told of events.
type Webhook struct {
	ID           string     `json:"id"`
	URL          string     `json:"url"`
	Events       []string   `json:"events" nullable:"false" doc:"Types of events; empty means all."`
	Enabled      bool       `json:"enabled"`
	CreatedAt    time.Time  `json:"created_at"`
	Rev          int64      `json:"rev"`
	LastStatus   *int       `json:"last_status" doc:"HTTP status of the last try; null when there was no answer or no try."`
	FailingSince *time.Time `json:"failing_since"`
}

// hook is a webhook as it is kept.
type hook struct {
	Webhook
	tenant, secret string
}

func (h hook) wants(kind string) bool { return len(h.Events) == 0 || slices.Contains(h.Events, kind) }

const hookColumns = `id, tenant, url, events, enabled, secret, created, rev, last_status, failing_since`

func scanHook(row interface{ Scan(...any) error }) (h hook, err error) {
	var events string
	var enabled, status int
	var created, failing int64
	if err := row.Scan(&h.ID, &h.tenant, &h.URL, &events, &enabled, &h.secret, &created, &h.Rev, &status, &failing); err != nil {
		return h, err
	}
	h.Enabled, h.CreatedAt = enabled == 1, store.FromTime(created)
	if status != 0 {
		h.LastStatus = &status
	}
	h.FailingSince = timeOrNull(failing)
	return h, json.Unmarshal([]byte(events), &h.Events)
}

func timeOrNull(micros int64) *time.Time {
	if micros == 0 {
		return nil
	}
	t := store.FromTime(micros)
	return &t
}

func queryHooks(tx *store.Tx, where string, args ...any) (hooks []hook, err error) {
	rows, err := tx.Query(`SELECT `+hookColumns+` FROM webhooks WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		h, err := scanHook(rows)
		if err != nil {
			return nil, err
		}
		hooks = append(hooks, h)
	}
	return hooks, rows.Err()
}

func getHook(tx *store.Tx, tenant, id string) (hook, error) {
	h, err := scanHook(tx.QueryRow(`SELECT `+hookColumns+` FROM webhooks WHERE id = ? AND tenant = ?`, id, tenant))
	if errors.Is(err, store.ErrNoRows) {
		return h, fault.New(fault.NotFound, "there is no webhook %s", id)
	}
	return h, err
}

func (h hook) check() error {
	u, err := url.Parse(h.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || len(h.URL) > 2048 {
		return fault.New(fault.Invalid, "the url must be an http or https address without a user name, at most 2,048 characters long")
	}
	for _, kind := range h.Events {
		if !slices.Contains(event.Types(), kind) {
			return fault.New(fault.Invalid, "%q is no type of event; there are %v", kind, event.Types())
		}
	}
	return nil
}

// checkHost refuses an address that every delivery would be refused at.
func (s *Service) checkHost(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return nil // check says so
	}
	if err := s.guard.CheckHost(u.Hostname()); err != nil {
		return fault.Wrap(err, fault.Invalid, "%s: see webhook.allow", fault.Message(err))
	}
	return nil
}

// create keeps a new webhook.
func (s *Service) create(tx *store.Tx, h hook) (hook, error) {
	if err := h.check(); err != nil {
		return h, err
	}
	if err := s.checkHost(h.URL); err != nil {
		return h, err
	}
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM webhooks WHERE tenant = ?`, h.tenant).Scan(&n); err != nil {
		return h, err
	}
	if n >= maxWebhooks {
		return h, fault.New(fault.Limit, "a tenant may have %d webhooks: delete one that is not needed", maxWebhooks)
	}
	var key [32]byte
	rand.Read(key[:]) // never fails
	h.ID, h.secret, h.Rev = s.ids.New("whk"), secretPrefix+base64.StdEncoding.EncodeToString(key[:]), 1
	h.CreatedAt = now()
	events, err := eventList(h)
	if err != nil {
		return h, err
	}
	_, err = tx.Exec(`INSERT INTO webhooks (`+hookColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0)`,
		h.ID, h.tenant, h.URL, events, number(h.Enabled), h.secret, store.Time(h.CreatedAt), h.Rev)
	return h, err
}

// change keeps what was changed of a webhook.
func (s *Service) change(tx *store.Tx, h hook) (hook, error) {
	if err := h.check(); err != nil {
		return h, err
	}
	h.Rev++
	events, err := eventList(h)
	if err != nil {
		return h, err
	}
	_, err = tx.Exec(`UPDATE webhooks SET url = ?, events = ?, enabled = ?, rev = ? WHERE id = ?`, h.URL, events, number(h.Enabled), h.Rev, h.ID)
	return h, err
}

func eventList(h hook) (string, error) {
	events := h.Events
	if events == nil {
		events = []string{}
	}
	text, err := json.Marshal(events)
	return string(text), err
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

func removeHook(tx *store.Tx, id string) error {
	if _, err := tx.Exec(`DELETE FROM deliveries WHERE webhook = ?`, id); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM webhooks WHERE id = ?`, id)
	return err
}

// now is the time as records keep it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
