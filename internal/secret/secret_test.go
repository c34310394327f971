package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/secret"
)

func TestValueMasksItself(t *testing.T) {
	const plain = "correct horse battery staple"
	v := secret.New(plain)
	holder := struct {
		Key  secret.Value
		Keys map[string]secret.Value
		Ptr  *secret.Value
	}{v, map[string]secret.Value{"a": v}, &v}

	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "key", v, "holder", holder)
	encoded, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"print":    fmt.Sprint(v, holder, []secret.Value{v}),
		"verbs":    fmt.Sprintf("%v %+v %#v %s %q %x %d", v, v, v, v, v, v, v),
		"struct":   fmt.Sprintf("%v %+v %#v", holder, holder, holder),
		"json":     string(encoded),
		"log":      log.String(),
		"error":    fmt.Errorf("dial: %w: %v", fmt.Errorf("%v", v), v).Error(),
		"stringer": v.String(),
	} {
		if strings.Contains(text, plain) || strings.Contains(text, fmt.Sprintf("%x", plain)) {
			t.Errorf("%s shows the secret: %s", name, text)
		}
	}
	if v.Reveal() != plain {
		t.Error("Reveal does not give the secret back")
	}
}

func TestMadeValues(t *testing.T) {
	key := regexp.MustCompile(`^rk_[A-Za-z0-9_-]{43}$`)
	seen := map[string]bool{}
	for range 100 {
		v := secret.NewAPIKey()
		if !key.MatchString(v.Reveal()) {
			t.Fatalf("made key has the wrong form (%d characters)", len(v.Reveal()))
		}
		if seen[v.Reveal()] {
			t.Fatal("the same key twice")
		}
		seen[v.Reveal()] = true
	}
}

func TestDigests(t *testing.T) {
	v := secret.New("abc")
	// FIPS 180-4's example message "abc".
	if got, want := v.Hash(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; got != want {
		t.Errorf("Hash = %s, want %s", got, want)
	}
	if v.MAC([]byte("a")) == v.MAC([]byte("b")) {
		t.Error("MAC does not depend on the key")
	}
	if v.MAC([]byte("a")) == secret.New("abd").MAC([]byte("a")) {
		t.Error("MAC does not depend on the secret")
	}
}
