package notify

import (
	"encoding/json"
	"errors"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/store"
)

const (
	keepDeliveries = 30 * 24 * time.Hour
	maxDeliveries  = 1000 // a webhook; the oldest go, sent or not
)

// The states of a delivery.
const (
	waiting   = "waiting"
	delivered = "delivered"
	failed    = "failed"
)

// Delivery is one event on its way to one webhook.
type Delivery struct {
	ID          string      `json:"id"`
	Webhook     string      `json:"webhook"`
	Event       event.Event `json:"event"`
	State       string      `json:"state" enum:"waiting,delivered,failed"`
	Attempts    int         `json:"attempts"`
	Status      *int        `json:"status" doc:"HTTP status of the last try."`
	Response    string      `json:"response" doc:"The first KiB of the last answer."`
	Error       string      `json:"error" doc:"Why the last try failed."`
	NextAt      *time.Time  `json:"next_at"`
	CreatedAt   time.Time   `json:"created_at"`
	DeliveredAt *time.Time  `json:"delivered_at"`
}

const deliveryColumns = `id, webhook, body, state, attempts, status, response, error, next_at, created, delivered`

func scanDelivery(row interface{ Scan(...any) error }) (d Delivery, err error) {
	var body string
	var status int
	var next, created, done int64
	if err := row.Scan(&d.ID, &d.Webhook, &body, &d.State, &d.Attempts, &status, &d.Response, &d.Error, &next, &created, &done); err != nil {
		return d, err
	}
	if status != 0 {
		d.Status = &status
	}
	if d.State == waiting {
		d.NextAt = timeOrNull(next)
	}
	d.CreatedAt, d.DeliveredAt = store.FromTime(created), timeOrNull(done)
	return d, json.Unmarshal([]byte(body), &d.Event)
}

func queryDeliveries(tx *store.Tx, where string, args ...any) (list []Delivery, err error) {
	rows, err := tx.Query(`SELECT `+deliveryColumns+` FROM deliveries WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list = []Delivery{}
	for rows.Next() {
		d, err := scanDelivery(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, rows.Err()
}

func getDelivery(tx *store.Tx, webhook, id string) (Delivery, error) {
	d, err := scanDelivery(tx.QueryRow(`SELECT `+deliveryColumns+` FROM deliveries WHERE id = ? AND webhook = ?`, id, webhook))
	if errors.Is(err, store.ErrNoRows) {
		return d, fault.New(fault.NotFound, "there is no delivery %s; they are kept for 30 days, 1,000 a webhook", id)
	}
	return d, err
}

// insert makes a delivery of an event, or none when there is one already, and
// drops the oldest above the limit.
func (s *Service) insert(tx *store.Tx, webhook string, e event.Event) (id string, err error) {
	body, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	id, now := s.ids.New("dlv"), store.Time(time.Now())
	n, err := tx.Exec(`INSERT INTO deliveries (id, webhook, event_id, body, state, attempts, status, response, error, next_at, created, delivered)
		VALUES (?, ?, ?, ?, 'waiting', 0, 0, '', '', ?, ?, 0) ON CONFLICT (event_id, webhook) DO NOTHING`,
		id, webhook, e.ID, string(body), now, now)
	if err != nil || n == 0 {
		return "", err
	}
	tx.AfterCommit(s.nudge)
	_, err = tx.Exec(`DELETE FROM deliveries WHERE webhook = ? AND id <= (
		SELECT id FROM deliveries WHERE webhook = ? ORDER BY id DESC LIMIT 1 OFFSET ?)`, webhook, webhook, maxDeliveries)
	return id, err
}

// resend begins a delivery anew.
func (s *Service) resend(tx *store.Tx, id string) error {
	_, err := tx.Exec(`UPDATE deliveries SET state = 'waiting', attempts = 0, error = '', next_at = ?, delivered = 0 WHERE id = ?`,
		store.Time(time.Now()), id)
	tx.AfterCommit(s.nudge)
	return err
}

// outcome is what one try came to.
type outcome struct {
	status   int // 0: no answer
	response string
	problem  string // "": delivered
}

// note keeps the outcome of a try.
func (s *Service) note(tx *store.Tx, d due, o outcome) error {
	now := time.Now()
	state, next, done := delivered, int64(0), store.Time(now)
	if o.problem != "" {
		state, done = failed, 0
		if d.attempts < len(s.timing.waits) {
			state, next = waiting, store.Time(now.Add(jitter(s.timing.waits[d.attempts])))
		}
	}
	// attempts: one that was begun anew meanwhile has its own course.
	if _, err := tx.Exec(`UPDATE deliveries SET state = ?, attempts = attempts + 1, status = ?, response = ?, error = ?, next_at = ?, delivered = ?
		WHERE id = ? AND attempts = ? AND state = 'waiting'`, state, o.status, o.response, o.problem, next, done, d.id, d.attempts); err != nil {
		return err
	}
	failing := `0`
	if o.problem != "" {
		failing = `CASE WHEN failing_since = 0 THEN ` + microseconds(now) + ` ELSE failing_since END`
	}
	_, err := tx.Exec(`UPDATE webhooks SET last_status = ?, failing_since = `+failing+` WHERE id = ?`, o.status, d.webhook)
	return err
}

func cleanDeliveries(tx *store.Tx, now time.Time) error {
	_, err := tx.Exec(`DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE created < ? LIMIT 1000)`, store.Time(now.Add(-keepDeliveries)))
	return err
}
