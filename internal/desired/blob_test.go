package desired_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// However hosts are printed, logged or encoded, no content shows.
func TestBlobsNeverPrint(t *testing.T) {
	hosts := build(t, input(t, readCase(t, "testdata/prepared.txtar")))
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb, hosts)
	}
	encoded, err := json.Marshal(hosts)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	log := slog.New(slog.NewJSONHandler(&out, nil))
	found := 0
	for _, h := range hosts {
		for _, blob := range h.Blobs {
			log.Info("blob", "blob", blob)
			if strings.Contains(string(blob.Reveal()), ollamaKey) {
				found++
			}
		}
	}
	if found != 1 {
		t.Fatalf("%d blobs hold the engine's key", found)
	}
	for _, secret := range []string{ollamaKey, fmt.Sprintf("%x", ollamaKey), "managed_by", oldKey} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q shows", secret)
		}
	}
}
