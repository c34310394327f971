package sshconfig

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Programs that the configuration has ssh run don't see the operator's secrets.
func TestAskKeepsSecrets(t *testing.T) {
	t.Setenv("RELAYCTL_SUDO_PASSWORD", "geheim")
	t.Setenv("LANG", "C.UTF-8")
	c := layOut(t, "Match exec \"env > DIR/env\"\n User ops\n")
	conf, err := c.ask(t, host)
	if err != nil || conf.First("user", "") != "ops" {
		t.Fatalf("user is %q, %v", conf.First("user", ""), err)
	}
	env, err := os.ReadFile(filepath.Join(c.folder, "env"))
	if err != nil || !strings.Contains(string(env), "LANG=C.UTF-8") || strings.Contains(string(env), "RELAYCTL_") {
		t.Errorf("a Match exec sees %s, %v", env, err)
	}
}

func TestAskPassesOnWhatSSHSays(t *testing.T) {
	c := layOut(t, "Host edge\n  Hostnam a\n")
	_, err := c.ask(t, host)
	if err == nil || !strings.Contains(err.Error(), "config: line 2: Bad configuration option: hostnam") {
		t.Errorf("error is %v, want ssh's own words", err)
	}
}

func TestAskEndsWithItsContext(t *testing.T) {
	program := filepath.Join(t.TempDir(), "ssh")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 600\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, cause)
	defer cancel()
	if _, err := Ask(ctx, program, host); !errors.Is(err, cause) {
		t.Errorf("error is %v, want %v", err, cause)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("user root\nport 22\nidentityfile ~/.ssh/a b\nidentityfile two\n")
	f.Fuzz(func(t *testing.T, text string) {
		for keyword, values := range parse(text).values {
			if switches[keyword] != nil {
				continue // has other words
			}
			for _, value := range values {
				if !strings.Contains(text, strings.TrimSpace(keyword+" "+value)) && value != "" {
					t.Errorf("%q = %q is not in the text", keyword, value)
				}
			}
		}
	})
}

// However odd the text is, reading it ends, and a value holds whatever follows.
func FuzzRead(f *testing.F) {
	for _, r := range rows {
		f.Add(r.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if lower := strings.ToLower(text); strings.Contains(lower, "include") || strings.Contains(lower, "final") {
			return // whatever is on this machine; what a second reading says comes last
		}
		path := filepath.Join(t.TempDir(), "config")
		read := func(text string) (Config, error) {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			return readFiles("/nowhere", "", host, []file{{path: path}})
		}
		before, err := read(text)
		if err != nil {
			return
		}
		after, err := read(text + "\nMatch all\nPort 7777\nIdentityFile late\n")
		if err != nil {
			t.Fatal(err)
		}
		if port := before.First("port", ""); port != "22" && port != after.First("port", "") {
			t.Errorf("port %s became %s", port, after.First("port", ""))
		}
		identities := after.All("identityfile")
		if slices.Contains(before.All("identityfile"), "~/.ssh/id_rsa") {
			return // none was set, perhaps
		}
		if n := len(before.All("identityfile")); !slices.Equal(before.All("identityfile"), identities[:n]) {
			t.Errorf("identities %q became %q", before.All("identityfile"), identities)
		}
	})
}
