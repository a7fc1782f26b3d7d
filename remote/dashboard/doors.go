package dashboard

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	cookieName = "gx_dashboard"
	codeLife   = 5 * time.Minute
	cookieLife = 30 * 24 * time.Hour
	maxCodes   = 1000 // that nobody has used yet
)

// doors decides who may come in: first by a code, then by a cookie, which holds
// when it ends and is signed, so that it outlives the host.
type doors struct {
	key []byte
	now func() time.Time

	mu    sync.Mutex
	codes map[string]time.Time // until when they are good
}

// invite makes a code.
func (d *doors) invite() string {
	code := rand.Text()
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for c, until := range d.codes {
		if now.After(until) || len(d.codes) >= maxCodes {
			delete(d.codes, c)
		}
	}
	d.codes[code] = now.Add(codeLife)
	return code
}

// enter takes a code, which is then used up, and sets a cookie.
func (d *doors) enter(w http.ResponseWriter, code string) bool {
	d.mu.Lock()
	until, known := d.codes[code]
	delete(d.codes, code)
	d.mu.Unlock()
	if !known || d.now().After(until) {
		return false
	}
	expires := strconv.FormatInt(d.now().Add(cookieLife).Unix(), 10)
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure: the page is on loopback, without TLS
		Name: cookieName, Value: expires + "." + d.sign(expires), Path: "/", MaxAge: int(cookieLife.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	return true
}

// open reports whether a request has a cookie that is good.
func (d *doors) open(r *http.Request) bool {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	expires, signature, _ := strings.Cut(c.Value, ".")
	if !hmac.Equal([]byte(signature), []byte(d.sign(expires))) {
		return false
	}
	at, err := strconv.ParseInt(expires, 10, 64)
	return err == nil && d.now().Unix() < at
}

func (d *doors) sign(text string) string {
	mac := hmac.New(sha256.New, d.key)
	mac.Write([]byte("gx dashboard " + text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
