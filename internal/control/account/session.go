package account

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"reflect"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

// signIn is the body that asks for a session.
type signIn struct {
	Key string `json:"key" doc:"lyk_…"`
}

// named is a thing as others refer to it.
type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// session is who is signed in, as the API shows it.
type session struct {
	Tenant  named    `json:"tenant"`
	Key     named    `json:"key"`
	Scopes  []string `json:"scopes" nullable:"false"`
	Version string   `json:"version"`
	Secure  bool     `json:"secure" doc:"The connection is encrypted."`
}

// sessionRoutes are raw: they need the address, the cookie and the connection of
// the request itself.
func (s *Service) sessionRoutes(api *web.API) {
	op := func(id, method, summary string) web.Op {
		return web.Op{ID: id, Method: method, Path: "/v1/session", Tag: "Session", Summary: summary}
	}
	shown := reflect.TypeFor[session]()
	in := op("sign-in", http.MethodPost, "Sign in to the console with a key; sets a cookie")
	in.Public = true
	api.Raw(in, web.Media{Request: "application/json", Takes: reflect.TypeFor[signIn](), Response: "application/json", Gives: shown, Headers: []web.Param{{Name: "Set-Cookie", Description: "The session."}}}, answering(s.signIn))
	api.Raw(op("get-session", http.MethodGet, "Who is signed in"), web.Media{Response: "application/json", Gives: shown}, answering(s.showSession))
	out := op("sign-out", http.MethodDelete, "Sign out of the console")
	out.Status = http.StatusNoContent
	api.Raw(out, web.Media{}, answering(s.signOut))
}

// answering answers what a handler returns as error.
func answering(handler func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := handler(w, r); err != nil {
			web.Problem(w, r, err)
		}
	})
}

func (s *Service) signIn(w http.ResponseWriter, r *http.Request) error {
	var body signIn
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&body); err != nil || body.Key == "" {
		return fault.Wrap(err, fault.Invalid, `the body must be {"key": "lyk_…"}`)
	}
	found, err := s.check(r.Context(), body.Key, false, r.RemoteAddr)
	if err != nil {
		if fault.CodeOf(err) == fault.Forbidden {
			err = web.WithStatus(http.StatusUnauthorized, err)
		}
		return err
	}
	value := rand.Text() + rand.Text()
	var shown session
	err = s.deps.DB.Write(r.Context(), func(tx *store.Tx) (err error) {
		// Another node may have deleted it since this one read it.
		if _, err := readKey(tx, found.principal.Tenant, found.principal.Key); fault.CodeOf(err) == fault.NotFound {
			return web.WithStatus(http.StatusUnauthorized, refused(false))
		} else if err != nil {
			return err
		}
		expires := store.Time(s.now().Add(sessionTime))
		if _, err := tx.Exec("INSERT INTO sessions (hash, api_key, expires) VALUES (?, ?, ?)", hashOf(value), found.principal.Key, expires); err != nil {
			return err
		}
		shown, err = s.sessionOf(tx, r, found.principal)
		return err
	})
	if err != nil {
		return err
	}
	http.SetCookie(w, cookie(r, value, 0))
	return writeJSON(w, shown)
}

// cookie lives as long as the browser does; the session behind it ends by itself.
func cookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: web.SessionCookie, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: secure(r), SameSite: http.SameSiteStrictMode,
	}
}

// secure reports whether the client's connection is encrypted, be it by a proxy in
// front. Who says so falsely harms its own cookie only.
func secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

func (s *Service) showSession(w http.ResponseWriter, r *http.Request) error {
	var shown session
	err := s.deps.DB.Read(r.Context(), func(tx *store.Tx) (err error) {
		shown, err = s.sessionOf(tx, r, principal(r.Context()))
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, shown)
}

func (s *Service) sessionOf(tx *store.Tx, r *http.Request, p guard.Principal) (session, error) {
	t, err := readTenant(tx, p.Tenant)
	return session{
		Tenant: named{t.ID, t.Name}, Key: named{p.Key, p.Name}, Scopes: p.Scopes, Version: s.deps.Version, Secure: secure(r),
	}, err
}

// signOut ends the session of the cookie. A request with a key has none to end.
func (s *Service) signOut(w http.ResponseWriter, r *http.Request) error {
	if secret, bySession := credential(r); bySession {
		err := s.deps.DB.Write(r.Context(), func(tx *store.Tx) error {
			tx.AfterCommit(s.forget)
			_, err := tx.Exec("DELETE FROM sessions WHERE hash = ?", hashOf(secret))
			return err
		})
		if err != nil {
			return err
		}
	}
	http.SetCookie(w, cookie(r, "", -1))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func writeJSON(w http.ResponseWriter, v session) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(v) // who went away gets no answer
	return nil
}
