package service_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/service"
)

// run is a program that does what the test says.
type run func(ctx context.Context, version string) error

func (r run) Run(ctx context.Context, version string, _ <-chan os.Signal) error {
	return r(ctx, version)
}

func TestExitCodes(t *testing.T) {
	good := run(func(_ context.Context, version string) error {
		if version != "1.2.3" {
			t.Errorf("the program was given version %q", version)
		}
		return nil
	})
	bad := run(func(context.Context, string) error { return errors.New("broken") })
	tests := []struct {
		args    []string
		program run
		want    int
	}{
		{nil, good, 0},
		{nil, bad, 1},
		{[]string{"--version"}, bad, 0},
		{[]string{"--help"}, bad, 0},
		{[]string{"--nonsense"}, good, 1},
		{[]string{"stray"}, good, 1},
		{[]string{"--log-level", "loud"}, good, 1},
		{[]string{"--log-format", "xml"}, good, 1},
	}
	for _, test := range tests {
		code := service.Main("prog", "1.2.3", func() (service.Program, error) {
			_, err := service.NewCommandLine("prog", "Usage\n", func(string) string { return "" }, new(bytes.Buffer)).ParseAll(test.args)
			return test.program, err
		})
		if code != test.want {
			t.Errorf("%q ends with %d, not %d", test.args, code, test.want)
		}
	}
}

func TestLogIsAsAskedFor(t *testing.T) {
	env := map[string]string{"LOG_LEVEL": "warn", "LOG_FORMAT": "json"}
	for _, test := range []struct {
		args []string
		want string // how the line of a warning begins; empty: there is none
	}{
		{nil, `{"time":`},
		{[]string{"--log-format", "text"}, "time="},
		{[]string{"--log-level", "error"}, ""},
	} {
		var out bytes.Buffer
		log, err := service.NewCommandLine("prog", "", func(name string) string { return env[name] }, &out).ParseAll(test.args)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("below")
		log.Warn("told")
		if got := out.String(); !strings.HasPrefix(got, test.want) || strings.Count(got, "\n") != min(1, len(test.want)) {
			t.Errorf("%q: %q", test.args, got)
		}
	}
}

func TestStatusIsOneLine(t *testing.T) {
	for _, test := range []struct {
		digest, state string
		refused       error
		want          string
	}{
		{"abc", "", nil, "settings abc"},
		{"", "connected", nil, "settings by hand; connected"},
		{"abc", "connecting: no\nroute", errors.New("a\nb"), "settings abc; connecting: no route; reload refused: a b"},
	} {
		if got := service.Status(test.digest, test.state, test.refused); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestSettingsAreReadStrictly(t *testing.T) {
	var s struct {
		Wait service.Duration `json:"wait"`
	}
	if err := service.DecodeStrict([]byte(`{"wait":"1m30s"}`+"\n"), &s); err != nil || time.Duration(s.Wait) != 90*time.Second {
		t.Errorf("got %v, %v", s.Wait, err)
	}
	for _, text := range []string{`{"wiat":"1s"}`, `{"wait":"1s"} {}`, `{"wait":"soon"}`, `{"wait":1}`, ``} {
		if err := service.DecodeStrict([]byte(text), &s); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
