package client_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"crypto/hmac"
	"crypto/sha256"

	"github.com/google/go-cmp/cmp"

	"liuyun/client"
	"liuyun/internal/testkit/fakecloud"
)

// Events come once each and in order, whatever the connection does.
func TestEvents(t *testing.T) {
	t.Parallel()
	cloud, c := start(t)
	for _, name := range []string{"one", "two", "three"} {
		cloud.Tell(client.AssetUpdated, fakecloud.Object{"id": "ast_1", "name": name})
	}
	var names []string
	cursor := ""
	for event, err := range c.Events(t.Context(), "1") {
		if err != nil {
			t.Fatal(err)
		}
		asset := must[client.Asset](t)(event.Asset())
		names = append(names, asset.Name)
		switch cursor = event.Cursor; asset.Name {
		case "three":
			cloud.Break(fakecloud.Fault{Call: "GET /v1/events", Status: 503})
			cloud.Tell(client.AssetUpdated, fakecloud.Object{"name": "four"})
			cloud.Drop()
		case "four":
			cloud.Tell(client.AssetUpdated, fakecloud.Object{"name": "five"})
		}
		if asset.Name == "five" {
			break
		}
	}
	if diff := cmp.Diff([]string{"two", "three", "four", "five"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if cursor != "5" {
		t.Errorf("got cursor %q, want 5", cursor)
	}
	cloud.Break(fakecloud.Fault{Call: "GET /v1/events", Status: 403})
	n := 0
	for _, err := range c.Events(t.Context(), "") {
		if n++; client.CodeOf(err) != client.Forbidden {
			t.Errorf("got %v, want forbidden", err)
		}
	}
	if n != 1 {
		t.Errorf("yielded %d times, want once", n)
	}
}

func sign(id, at, body string) string {
	mac := hmac.New(sha256.New, []byte("secret"))
	mac.Write([]byte(id + "." + at + "." + body))
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func TestVerifyWebhook(t *testing.T) {
	t.Parallel()
	const secret, body = "whsec_c2VjcmV0", `{"id":"evt_1","type":"asset.ready","data":{"id":"ast_1"}}`
	now := strconv.FormatInt(time.Now().Unix(), 10)
	old := strconv.FormatInt(time.Now().Add(-6*time.Minute).Unix(), 10)
	ahead := strconv.FormatInt(time.Now().Add(6*time.Minute).Unix(), 10)
	tests := []struct {
		name, secret, id, at, signature, body string
		good                                  bool
	}{
		{"good", secret, "m1", now, sign("m1", now, body), body, true},
		{"second of two", secret, "m1", now, "v1,AAAA v1a,AAAA " + sign("m1", now, body), body, true},
		{"other body", secret, "m1", now, sign("m1", now, body), body + " ", false},
		{"other id", secret, "m2", now, sign("m1", now, body), body, false},
		{"other secret", "whsec_b3RoZXI=", "m1", now, sign("m1", now, body), body, false},
		{"no secret", "", "m1", now, sign("m1", now, body), body, false},
		{"old", secret, "m1", old, sign("m1", old, body), body, false},
		{"ahead", secret, "m1", ahead, sign("m1", ahead, body), body, false},
		{"no time", secret, "m1", "", sign("m1", "", body), body, false},
		{"no id", secret, "", now, sign("", now, body), body, false},
		{"no signature", secret, "m1", now, "", body, false},
		{"other version", secret, "m1", now, strings.Replace(sign("m1", now, body), "v1,", "v2,", 1), body, false},
	}
	for _, test := range tests {
		header := http.Header{}
		header.Set("Webhook-Id", test.id)
		header.Set("Webhook-Timestamp", test.at)
		header.Set("Webhook-Signature", test.signature)
		event, err := client.VerifyWebhook(test.secret, header, []byte(test.body))
		if test.good && (err != nil || event.Type != client.AssetReady) {
			t.Errorf("%s: got %v, %v", test.name, event.Type, err)
		}
		if !test.good && !errors.Is(err, client.ErrSignature) {
			t.Errorf("%s: got %v, want ErrSignature", test.name, err)
		}
	}
}
