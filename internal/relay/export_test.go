package relay

import (
	"net/http"
	"time"
)

// KeyName tells the tests whose key h carries.
func KeyName(s *Settings, h http.Header, now time.Time) (string, error) {
	k, err := newKeyring(s).client(h, now)
	if err != nil {
		return "", err
	}
	return k.name, nil
}

// WriteKeyError answers as for a key that failed with err.
func WriteKeyError(w http.ResponseWriter, err error) { judge(err).told.Write(w) }
