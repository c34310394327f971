package relay_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/relay"
	"github.com/relayctl/relayctl/internal/service"
)

// folder writes files and returns where.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const someHash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func TestLoadSettings(t *testing.T) {
	files := map[string]string{
		"relay.json":            `{"managed_by":"relayctl","listen":"127.0.0.1:9000","queue_timeout":"45s","max_body":"64MiB","max_queue":7}`,
		"keys.json":             `{"keys":[{"name":"laptop","hash":"` + someHash + `","models":["m"],"expires":"2027-06-30"}]}`,
		"workers.d/gpu-1.json":  `{"name":"gpu-1","hashes":["` + strings.Repeat("a", 64) + `"],"models":["m","a/b:c"]}`,
		"workers.d/.new.json":   `left behind by a write that was cut off`,
		"workers.d/README":      `not ours`,
		"worker.json":           `{"the worker's":"own"}`,
		"tls/certificate.pem":   `whatever`,
		"workers.d/gpu-10.json": `{"name":"gpu-10","hashes":[],"models":["m"]}`,
	}
	got, err := relay.LoadSettings(folder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	want := relay.DefaultRelay()
	want.ManagedBy, want.Listen, want.QueueTimeout, want.MaxBody, want.MaxQueue = "relayctl", "127.0.0.1:9000", service.Duration(45*time.Second), 64<<20, 7
	if diff := cmp.Diff(want, got.Relay); diff != "" {
		t.Errorf("relay.json (-want +got):\n%s", diff)
	}
	if len(got.Keys) != 1 || len(got.Workers) != 2 || got.Workers[0].Name != "gpu-1" || got.Open || got.AnyModel {
		t.Errorf("got %+v", got)
	}
	whole := sha256.New()
	for _, path := range []string{"keys.json", "relay.json", "workers.d/gpu-1.json", "workers.d/gpu-10.json"} {
		fmt.Fprintf(whole, "%s\x00%x\n", path, sha256.Sum256([]byte(files[path])))
	}
	if digest := hex.EncodeToString(whole.Sum(nil)); got.Digest != digest {
		t.Errorf("digest %s, want %s", got.Digest, digest)
	}
}

func TestLoadSettingsRefuses(t *testing.T) {
	key := func(text string) map[string]string { return map[string]string{"keys.json": `{"keys":[` + text + `]}`} }
	setting := func(text string) map[string]string { return map[string]string{"relay.json": `{` + text + `}`} }
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"no relay.json", map[string]string{"relay.json": ""}, "EOF"},
		{"unknown member", setting(`"lissten":"x"`), `unknown field "lissten"`},
		{"unknown member of a key", key(`{"name":"a","hash":"` + someHash + `","model":["m"]}`), `unknown field "model"`},
		{"two objects", map[string]string{"relay.json": "{}{}"}, "more after the JSON object"},
		{"no duration", setting(`"idle_timeout":"5"`), "missing unit"},
		{"zero duration", setting(`"idle_timeout":"0s"`), "idle_timeout: must be over 0"},
		{"no size", setting(`"max_body":"32MB"`), "no size such as 32MiB"},
		{"tiny size", setting(`"max_body":"1"`), "max_body"},
		{"queue below nothing", setting(`"max_queue":-1`), "max_queue"},
		{"empty address", setting(`"listen":""`), "listen"},
		{"key without hash", key(`{"name":"a","hash":""}`), "64 lower-case hex digits"},
		{"the key itself", key(`{"name":"a","hash":"rk_abcdefghijklmnopqrstuvwxyz"}`), "64 lower-case hex digits"},
		{"key without name", key(`{"name":"","hash":"` + someHash + `"}`), "no valid name"},
		{"key twice", key(`{"name":"a","hash":"` + someHash + `"},{"name":"b","hash":"` + someHash + `"}`), `is that of key "a" too`},
		{"no date", key(`{"name":"a","hash":"` + someHash + `","expires":"30.6.2027"}`), "neither a date nor RFC 3339"},
		{"no model name", key(`{"name":"a","hash":"` + someHash + `","models":["a/../b"]}`), "no valid model name"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			files := map[string]string{"relay.json": "{}", "keys.json": `{"keys":[]}`}
			for path, content := range test.files {
				files[path] = content
			}
			_, err := relay.LoadSettings(folder(t, files))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want one with %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "rk_") {
				t.Errorf("the error repeats a secret: %v", err)
			}
		})
	}
}

// TestBadWorkerIsLeftOut, and nobody else: its file holds what another host
// reported.
func TestBadWorkerIsLeftOut(t *testing.T) {
	good := strings.Repeat("a", 64)
	tests := []struct{ name, file, want string }{
		{"no JSON", `<`, "invalid character"},
		{"unknown member", `{"name":"gpu-2","hash":[]}`, `unknown field "hash"`},
		{"another's name", `{"name":"gpu-1","hashes":[],"models":[]}`, `that of worker "gpu-1"`},
		{"a hash that is none", `{"name":"gpu-2","hashes":["zz"],"models":[]}`, "64 lower-case hex digits"},
		{"another worker's hash", `{"name":"gpu-2","hashes":["` + good + `"],"models":[]}`, `is that of worker "gpu-1" too`},
		{"a key's hash", `{"name":"gpu-2","hashes":["` + someHash + `"],"models":[]}`, `is that of key "a" too`},
		{"one hash twice", `{"name":"gpu-2","hashes":["` + strings.Repeat("b", 64) + `","` + strings.Repeat("b", 64) + `"],"models":[]}`, "too"},
		{"a model that is none", `{"name":"gpu-2","hashes":[],"models":["$(id)"]}`, "no valid model name"},
		{"a capacity that is none", `{"name":"gpu-2","hashes":[],"models":["m"],"concurrency":{"m":0}}`, "not between 1 and 4096"},
	}
	for _, test := range tests {
		s, err := relay.LoadSettings(folder(t, map[string]string{
			"relay.json":           "{}",
			"keys.json":            `{"keys":[{"name":"a","hash":"` + someHash + `"}]}`,
			"workers.d/gpu-1.json": `{"name":"gpu-1","hashes":["` + good + `"],"models":["m"],"concurrency":{"m":4}}`,
			"workers.d/gpu-2.json": test.file,
			"workers.d/gpu-3.json": `{"name":"gpu-3","hashes":["` + strings.Repeat("c", 64) + `"],"models":["m"]}`,
		}))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if len(s.Workers) != 2 || s.Workers[0].Name != "gpu-1" || s.Workers[1].Name != "gpu-3" {
			t.Errorf("%s: taken are %+v", test.name, s.Workers)
		}
		if len(s.LeftOut) != 1 || !strings.Contains(s.LeftOut[0].Error(), test.want) {
			t.Errorf("%s: left out: %v", test.name, s.LeftOut)
		}
	}
}

func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	_, err := relay.LoadSettings(folder(t, map[string]string{
		"relay.json": `{"max_queue":-1,"idle_timeout":"-1s"}`,
		"keys.json":  `{"keys":[{"name":"A B","hash":"x","expires":"y"}]}`,
	}))
	for _, want := range []string{"max_queue", "idle_timeout", `key "A B": no valid name`, "64 lower-case", "neither a date"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestUnitsPrintAsTheyParse(t *testing.T) {
	for _, text := range []string{"1KiB", "32MiB", "3GiB", "1000"} {
		var s relay.Size
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if printed, err := s.MarshalText(); err != nil || string(printed) != text {
			t.Errorf("%s prints as %s, %v", text, printed, err)
		}
	}
	for text, want := range map[string]relay.Size{"1 MiB": 1 << 20, "1.5GiB": 3 << 29, "32mib": 32 << 20, " 5KIB": 5 << 10, "12 b": 12, "0": 0} {
		var s relay.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q is taken as %d, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.0001KiB", "1MB", "1M", "1e3", "9999999999999999999", "1 2MiB"} {
		var s relay.Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken as %d", text, s)
		}
	}
	for _, text := range []string{"30s", "1h0m0s"} {
		var d service.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if printed, err := d.MarshalText(); err != nil || string(printed) != text {
			t.Errorf("%s prints as %s, %v", text, printed, err)
		}
	}
}

func TestByHand(t *testing.T) {
	keys := filepath.Join(folder(t, map[string]string{"keys": "# people\nlaptop=" + someHash + "\n\n ci = " + strings.ToUpper(strings.Repeat("b", 64)) + "\n"}), "keys")
	bad := filepath.Join(folder(t, map[string]string{"keys": "laptop=rk_in_clear\n"}), "keys")
	secret := workerSecret("x")
	tests := []struct {
		name  string
		hand  relay.ByHand
		error string
	}{
		{"open on loopback", relay.ByHand{Listen: "127.0.0.1:8080", WorkerSecret: secret}, ""},
		{"open on localhost", relay.ByHand{Listen: "localhost:8080", WorkerSecret: secret}, ""},
		{"open on loopback of IPv6", relay.ByHand{Listen: "[::1]:8080", WorkerSecret: secret}, ""},
		{"open to the world", relay.ByHand{Listen: "0.0.0.0:8080", WorkerSecret: secret}, "only a loopback address"},
		{"open on all", relay.ByHand{Listen: ":8080", WorkerSecret: secret}, "only a loopback address"},
		{"keys, to the world", relay.ByHand{Listen: "0.0.0.0:8080", WorkerSecret: secret, APIKeysFile: keys}, ""},
		{"no secret", relay.ByHand{Listen: "127.0.0.1:8080"}, "WORKER_SECRET"},
		{"no time", relay.ByHand{Listen: "127.0.0.1:8080", WorkerSecret: secret, RequestTimeout: "5m"}, "REQUEST_TIMEOUT_SECS"},
		{"time", relay.ByHand{Listen: "127.0.0.1:8080", WorkerSecret: secret, RequestTimeout: "300"}, ""},
		{"no keys file", relay.ByHand{Listen: "127.0.0.1:8080", WorkerSecret: secret, APIKeysFile: keys + "x"}, "no such file"},
		{"keys in clear", relay.ByHand{Listen: "127.0.0.1:8080", WorkerSecret: secret, APIKeysFile: bad}, "line 1 is not NAME=SHA256"},
	}
	for _, test := range tests {
		s, err := test.hand.Settings()
		if test.error != "" {
			if err == nil || !strings.Contains(err.Error(), test.error) || strings.Contains(err.Error(), "rk_") {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if s.Open != (test.hand.APIKeysFile == "") || !s.AnyModel || !s.Open && len(s.Keys) != 2 {
			t.Errorf("%s: %+v", test.name, s)
		}
		if test.hand.RequestTimeout == "300" && (s.Relay.RequestTimeout != service.Duration(5*time.Minute) || s.Relay.FirstByteTimeout > s.Relay.RequestTimeout) {
			t.Errorf("%s: %+v", test.name, s.Relay)
		}
	}
}
