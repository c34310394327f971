package payload_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/relayctl/relayctl/internal/payload"
)

// carrying is the files of a build that carries one program, relay-host for
// amd64, of which the index says what it says of program.
func carrying(t *testing.T, program string, packed []byte) fstest.MapFS {
	t.Helper()
	sum := sha256.Sum256([]byte(program))
	index := fmt.Sprintf(`[{"name": "relay-host", "arch": "amd64", "version": "0.1.0", "digest": "sha256:%s", "size": %d}]`,
		hex.EncodeToString(sum[:]), len(packed))
	return fstest.MapFS{
		"programs/index.json":          {Data: []byte(index)},
		"programs/relay-host-amd64.gz": {Data: packed},
	}
}

func pack(t *testing.T, program string) []byte {
	t.Helper()
	var packed bytes.Buffer
	packing := gzip.NewWriter(&packed)
	_, err := packing.Write([]byte(program))
	if err = errors.Join(err, packing.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestDamagedPrograms(t *testing.T) {
	whole := pack(t, "the program")
	tests := []struct {
		name   string
		packed []byte
		want   string
	}{
		{"whole", whole, ""},
		{"another", pack(t, "the programme"), "the index says"},
		{"cut short", whole[:len(whole)-9], "unpack program relay-host"},
		{"never packed", []byte("the program"), "unpack program relay-host"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			carried, err := payload.From(carrying(t, "the program", test.packed))
			if err != nil {
				t.Fatal(err)
			}
			packed, err := carried.Packed("relay-host", "amd64")
			switch {
			case test.want == "" && (err != nil || !bytes.Equal(packed, test.packed)):
				t.Errorf("Packed: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error is %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestIndexWithoutItsProgram(t *testing.T) {
	files := carrying(t, "the program", pack(t, "the program"))
	delete(files, "programs/relay-host-amd64.gz")
	carried, err := payload.From(files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := carried.Packed("relay-host", "amd64"); err == nil {
		t.Error("Packed gives a program that is not there")
	}
	if _, err := carried.Packed("relay-host", "arm64"); err == nil {
		t.Error("Packed gives a program that the index doesn't list")
	}
	files["programs/index.json"].Data = []byte("[{")
	if _, err := payload.From(files); err == nil || errors.Is(err, payload.ErrNone) {
		t.Errorf("a broken index gives %v", err)
	}
}
