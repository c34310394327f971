package relay

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/service"
)

var (
	labelPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`) // a worker's or key's name in settings
	hashPattern  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// claims are names and hashes with whom they belong to.
type claims map[string]string

// take notes what as by's, or says whose it is already.
func (c claims) take(what, by string) error {
	if other, ok := c[what]; ok {
		return fmt.Errorf("%s: its name or hash is that of %s too", by, other)
	}
	c[what] = by
	return nil
}

// check checks all but the workers.
func (s *Settings) check(taken claims) error {
	problems := s.Relay.check()
	for _, key := range s.Keys {
		by := "key " + strconv.Quote(key.Name)
		problems = append(problems, taken.take("key "+key.Name, by))
		if _, err := expiry(key.Expires); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", by, err))
		}
		hashes := []string{key.Hash}
		for _, former := range key.Former {
			hashes = append(hashes, former.Hash)
			if end, err := expiry(former.Expires); err != nil || end.IsZero() {
				problems = append(problems, fmt.Errorf("%s: a former hash has no end that can be read: %q", by, former.Expires))
			}
		}
		problems = append(problems, taken.check(by, key.Name, hashes, key.Models)...)
	}
	return errors.Join(problems...)
}

// check checks a worker's file beside what others claim. Only a good one claims
// anything itself.
func (w *WorkerFile) check(taken claims) error {
	by := "worker " + strconv.Quote(w.Name)
	mine := maps.Clone(taken)
	problems := mine.check(by, w.Name, w.Hashes, w.Models)
	for model, most := range w.Concurrency {
		if most < 1 || most > protocol.MaxConcurrency {
			problems = append(problems, fmt.Errorf("%s: concurrency of %q: %d is not between 1 and %d", by, model, most, protocol.MaxConcurrency))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	maps.Copy(taken, mine)
	return nil
}

// check checks what keys and workers have in common, and claims the hashes.
func (c claims) check(by, name string, hashes, models []string) (problems []error) {
	fault := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: %w", by, fmt.Errorf(format, args...)))
	}
	if !labelPattern.MatchString(name) {
		fault("no valid name")
	}
	for _, hash := range hashes {
		problems = append(problems, c.take(hash, by))
		if !hashPattern.MatchString(hash) {
			fault("a hash is not 64 lower-case hex digits")
		}
	}
	for _, model := range models {
		if !protocol.ValidModel(model) {
			fault("no valid model name: %q", model)
		}
	}
	return problems
}

func (r *RelayFile) check() (problems []error) {
	fault := func(text string) { problems = append(problems, errors.New(text)) }
	for _, time := range []struct {
		name  string
		value service.Duration
	}{
		{"drain_timeout", r.DrainTimeout}, {"first_byte_timeout", r.FirstByteTimeout}, {"idle_timeout", r.IdleTimeout},
		{"queue_timeout", r.QueueTimeout}, {"request_timeout", r.RequestTimeout},
	} {
		if time.value <= 0 {
			fault(time.name + ": must be over 0")
		}
	}
	if r.Listen == "" || r.Metrics == "" || r.Admin == "" {
		fault("listen, metrics and admin must not be empty")
	}
	if r.MaxQueue < 0 {
		fault("max_queue: must not be below 0")
	}
	if r.MaxBody < 1024 || r.MaxBody > 1<<30 {
		fault("max_body: must be between 1KiB and 1GiB")
	}
	return problems
}

// expiry is the moment a key ends; zero for never.
func expiry(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	at, err := time.Parse(time.RFC3339, strings.ToUpper(text)) // which takes t and z too
	if err != nil {
		return time.Time{}, fmt.Errorf("expires: %q is neither a date nor RFC 3339", text)
	}
	return at, nil
}
