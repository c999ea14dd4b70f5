package client

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrSignature is in the chain of every error of [VerifyWebhook].
var ErrSignature = errors.New("the webhook is not signed with this secret")

// signatureAge is how old, or how far ahead, a delivery's time may be: what is
// recorded and sent again later is refused.
const signatureAge = 5 * time.Minute

// VerifyWebhook checks that a delivery comes from the cloud that made the secret
// (whsec_…) and is not an old one, and returns its event. body is the whole body
// of the request, byte for byte. A delivery that is repeated has the same header
// webhook-id. Signatures are those of Standard Webhooks.
func VerifyWebhook(secret string, header http.Header, body []byte) (Event, error) {
	return verifyWebhook(secret, header, body, time.Now())
}

func verifyWebhook(secret string, header http.Header, body []byte, now time.Time) (e Event, err error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) == 0 {
		return e, fmt.Errorf("client: the secret is not one of a webhook: %w", ErrSignature)
	}
	id, at := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || id == "" {
		return e, fmt.Errorf("client: no webhook-id and webhook-timestamp: %w", ErrSignature)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > signatureAge || age < -signatureAge {
		return e, fmt.Errorf("client: the delivery is from another time: %w", ErrSignature)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.", id, at)
	mac.Write(body)
	if !anySignature(header.Get("webhook-signature"), mac.Sum(nil)) {
		return e, fmt.Errorf("client: no signature fits: %w", ErrSignature)
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, fmt.Errorf("client: decode event: %w", err)
	}
	return e, nil
}

// anySignature reports whether one of the signatures, which are divided by
// spaces, is want. There are several while a secret is being changed.
func anySignature(list string, want []byte) bool {
	for text := range strings.FieldsSeq(list) {
		encoded, found := strings.CutPrefix(text, "v1,")
		if !found {
			continue
		}
		if got, err := base64.StdEncoding.DecodeString(encoded); err == nil && hmac.Equal(got, want) {
			return true
		}
	}
	return false
}
