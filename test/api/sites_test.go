package api

import (
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"liuyun/test/program"
)

// newSite is a site with one name.
func newSite(name string) string {
	return `{"name":"` + name + `","hosts":["` + name + `.example.org"],"origins":[{"url":"http://127.0.0.1:9"}]}`
}

// fullSite has every field that one can have, but what needs a certificate.
const fullSite = `{"name":"Films 电影","hosts":["WWW.Films.Example.org.","films.example.org"],"disabled":true,
	"origins":[{"url":"https://origin.example.org/base","weight":3,"host":"films.example.org"},{"url":"http://10.0.0.5:8080","backup":true}],
	"health":{"path":"/ok","every":30,"timeout":2,"status":204,"failures":2},
	"rules":[{"path":"/live/*","ttl":0,"browser_ttl":5,"query":"only","parameters":["id"],"vary":["Accept-Language"],
		"request":[{"name":"X-Edge","value":"1"}],"response":[{"name":"Server","value":""}],"compress":false},
		{"path":"/old/*","redirect":"https://$host/new/$rest","status":308}],
	"tls":"acme","default_ttl":60,"stale_if_error":600}`

func (d *driver) sites(t *testing.T) {
	d.call(t, http.StatusUnprocessableEntity, "POST", "/v1/sites", `{"name":"x","hosts":[],"origins":[]}`)
	d.call(t, http.StatusUnprocessableEntity, "POST", "/v1/sites", `{"name":"x","hosts":["x.example.org"],"orgins":[]}`)
	d.call(t, http.StatusBadRequest, "POST", "/v1/sites", `{"name":"x","hosts":["https://x.example.org/"],"origins":[{"url":"http://127.0.0.1:9"}]}`)
	made := d.call(t, http.StatusCreated, "POST", "/v1/sites", fullSite)
	path, tag := "/v1/sites/"+made.text("id"), made.header.Get("ETag")
	d.call(t, http.StatusConflict, "POST", "/v1/sites", fullSite)
	d.call(t, http.StatusOK, "GET", "/v1/sites?limit=1", nil)
	d.call(t, http.StatusUnprocessableEntity, "GET", "/v1/sites?limit=0", nil)
	got := d.call(t, http.StatusOK, "GET", path, nil)
	if got.header.Get("ETag") != tag || string(got.body) != string(made.body) {
		t.Errorf("made %s\n%s, read %s\n%s", tag, made.body, got.header.Get("ETag"), got.body)
	}
	d.call(t, http.StatusNotFound, "GET", "/v1/sites/sit_absent", nil)

	// What was read can be sent back, without what is no setting.
	var settings map[string]any
	if err := json.Unmarshal(got.body, &settings); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"id", "rev", "created_at", "updated_at"} {
		delete(settings, name)
	}
	d.call(t, http.StatusOK, "PUT", path, settings, header{"If-Match", tag})
	d.call(t, http.StatusPreconditionFailed, "PUT", path, settings, header{"If-Match", tag})
	settings["tls"] = "uploaded"
	d.call(t, http.StatusBadRequest, "PUT", path, settings)
	d.certificate(t)
	d.purges(t, path)
	d.traffic(t, path)
	d.call(t, http.StatusPreconditionFailed, "DELETE", path, nil, header{"If-Match", tag})
	d.call(t, http.StatusNoContent, "DELETE", path, nil)
	for _, gone := range [][2]string{{"GET", path}, {"DELETE", path}, {"GET", path + "/purges"}, {"GET", path + "/traffic"}, {"GET", path + "/requests"}} {
		d.call(t, http.StatusNotFound, gone[0], gone[1], nil)
	}
	d.call(t, http.StatusOK, "GET", "/v1/edges", nil)
	d.call(t, http.StatusOK, "GET", "/v1/edges?limit=200", nil)
	d.call(t, http.StatusUnprocessableEntity, "GET", "/v1/edges?limit=0", nil)
}

// certificate uploads one for a name that it is for.
func (d *driver) certificate(t *testing.T) {
	c, err := program.NewCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair := map[string]string{}
	for name, file := range map[string]string{"certificate": c.Cert, "key": c.Key} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pair[name] = string(text)
	}
	d.call(t, http.StatusNotFound, "PUT", "/v1/sites/sit_absent/certificate", pair)
	path := "/v1/sites/" + d.call(t, http.StatusCreated, "POST", "/v1/sites", `{"name":"Here","hosts":["localhost"],"origins":[{"url":"http://127.0.0.1:9"}]}`).text("id")
	d.call(t, http.StatusUnprocessableEntity, "PUT", path+"/certificate", `{"certificate":"","key":""}`)
	got := d.call(t, http.StatusOK, "PUT", path+"/certificate", pair)
	if got.text("tls") != "uploaded" || got.text("certificate", "not_after") == "" || strings.Contains(string(got.body), "PRIVATE KEY") {
		t.Errorf("with a certificate: %s", got.body)
	}
	d.call(t, http.StatusOK, "GET", path, nil)
	d.call(t, http.StatusNoContent, "DELETE", path, nil)
}

func (d *driver) purges(t *testing.T, path string) {
	d.call(t, http.StatusUnprocessableEntity, "POST", path+"/purges", `{"kind":"everything"}`)
	for body, want := range map[string]string{
		`{"kind":"url","value":"https://other.example.org/"}`: "is no name of this site",
		`{"kind":"tag","value":"a b"}`:                        "one tag",
		`{"kind":"all","value":"x"}`:                          "needs none",
		`{"kind":"prefix","value":"www.films.example.org/a"}`: "ends with /",
	} {
		if got := d.call(t, http.StatusBadRequest, "POST", path+"/purges", body); !strings.Contains(got.text("detail"), want) {
			t.Errorf("%s: %s, want %q", body, got.body, want)
		}
	}
	made := d.call(t, http.StatusAccepted, "POST", path+"/purges", `{"kind":"url","value":"https://www.films.example.org/电影.mp4?a=1","hard":true}`, header{"Idempotency-Key", "purge"})
	again := d.call(t, http.StatusAccepted, "POST", path+"/purges", `{"kind":"url","value":"https://www.films.example.org/电影.mp4?a=1","hard":true}`, header{"Idempotency-Key", "purge"})
	one := made.text("id")
	if again.text("id") != one || made.text("value") != "www.films.example.org/%E7%94%B5%E5%BD%B1.mp4?a=1" {
		t.Errorf("purged %s, then %s", made.body, again.body)
	}
	d.call(t, http.StatusAccepted, "POST", path+"/purges", `{"kind":"tag","value":"film"}`)
	page := d.call(t, http.StatusOK, "GET", path+"/purges?limit=1", nil)
	d.call(t, http.StatusOK, "GET", path+"/purges?limit=1&after="+page.text("next"), nil)
	d.call(t, http.StatusBadRequest, "GET", path+"/purges?after=x", nil)
	if got := d.call(t, http.StatusOK, "GET", path+"/purges/"+one, nil); string(got.body) != string(made.body) {
		t.Errorf("made\n%s, read\n%s", made.body, got.body)
	}
	number, err := strconv.ParseInt(one, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, absent := range []string{"x", strconv.FormatInt(number-1, 10), "-1"} {
		d.call(t, http.StatusNotFound, "GET", path+"/purges/"+absent, nil)
	}
}

// traffic is looked at, of a site and of what the cloud itself serves.
func (d *driver) traffic(t *testing.T, path string) {
	d.call(t, http.StatusOK, "GET", path+"/traffic", nil)
	a, text := d.firstOf(t, path+"/requests", func(text string) bool { return strings.Contains(text, "\n\n") })
	d.note(t, a, nil)
	if !strings.HasPrefix(text, "retry: ") || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("a stream begins with %.100q, headers %v", text, a.header)
	}
	some := &driver{&caller{d.cloud, d.call(t, http.StatusCreated, "POST", "/v1/keys", `{"name":"sites","scopes":["sites:read","sites:write"]}`).text("secret")}, d.answered, d.refused}
	for _, ask := range [][3]string{{"GET", "/traffic"}, {"GET", "/purges"}, {"GET", "/requests"}, {"POST", "/purges", `{"kind":"tag","value":"ast_1"}`}} {
		var body any
		if ask[2] != "" {
			body = ask[2]
		}
		some.call(t, http.StatusForbidden, ask[0], "/v1/sites/cloud"+ask[1], body)
	}
	d.call(t, http.StatusOK, "GET", "/v1/sites/cloud/traffic", nil)
	d.call(t, http.StatusAccepted, "POST", "/v1/sites/cloud/purges", `{"kind":"tag","value":"ast_1"}`)
	d.call(t, http.StatusOK, "GET", "/v1/sites/cloud/purges", nil)
	d.call(t, http.StatusNotFound, "GET", "/v1/sites/cloud", nil)
}
