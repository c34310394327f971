package desired_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/relay"
	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/internal/service"
	"github.com/relayctl/relayctl/internal/worker"
)

// onDisk writes a host's files under a folder, as they would be on the host.
// Files that the host fills get a secret.
func onDisk(t *testing.T, h desired.Host) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for _, r := range h.Want {
		content := r.Want[plan.AttrContent]
		if r.Kind != plan.KindFile || !content.IsKnown() {
			continue
		}
		data := h.Blobs[content.Text].Reveal()
		if r.From != nil {
			data = []byte(secret.NewToken().Reveal() + "\n")
		}
		if strings.HasSuffix(r.Name, ".json") { // paths in it are absolute
			data = []byte(strings.ReplaceAll(string(data), `"/etc/`, `"`+folder+`/etc/`))
		}
		path := filepath.Join(folder, r.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// published is the digest that relay-host compares with a service's status,
// from the unit's list of settings files.
func published(t *testing.T, folder string, settings []string) string {
	t.Helper()
	var paths []string
	for _, setting := range settings {
		inside, err := filepath.Glob(filepath.Join(folder, setting, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		if len(inside) == 0 {
			inside = []string{filepath.Join(folder, setting)}
		}
		paths = append(paths, inside...)
	}
	slices.Sort(paths)
	whole := sha256.New()
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		relative, err := filepath.Rel(filepath.Join(folder, filepath.Dir(settings[0])), path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(whole, "%s\x00%x\n", relative, sha256.Sum256(content))
	}
	return hex.EncodeToString(whole.Sum(nil))
}

func TestRelayLoadsWhatIsRendered(t *testing.T) {
	hosts := build(t, input(t, readCase(t, "testdata/prepared.txtar")))
	folder := onDisk(t, hosts[0])
	got, err := relay.LoadSettings(filepath.Join(folder, "/etc/relay"))
	if err != nil {
		t.Fatal(err)
	}
	want := relay.DefaultRelay()
	want.ManagedBy = got.Relay.ManagedBy
	want.Listen = "127.0.0.1:9000"
	want.RequestTimeout = service.Duration(90 * time.Minute)
	want.QueueTimeout = service.Duration(15 * time.Second)
	if diff := cmp.Diff(want, got.Relay); diff != "" {
		t.Error("relay.json (-want +got)\n" + diff)
	}
	keys := []relay.KeyEntry{
		{Name: "laptop", Hash: strings.Repeat("2", 64)},
		{Name: "old", Hash: secret.New(oldKey).Hash(), Models: []string{"Org/llama3.2:3b", "llama3-8b"}, Expires: "2027-07-01T00:00:00Z"},
		{Name: "relayctl-probe", Hash: strings.Repeat("1", 64), Probe: true},
	}
	if diff := cmp.Diff(keys, got.Keys); diff != "" {
		t.Error("keys.json (-want +got)\n" + diff)
	}
	workers := []relay.WorkerFile{
		{ManagedBy: want.ManagedBy, Name: "gpu-1", Hashes: []string{strings.Repeat("3", 64)}, Models: []string{"llama3-8b"}, Concurrency: map[string]int{"llama3-8b": 64}},
		{ManagedBy: want.ManagedBy, Name: "gpu-2", Hashes: []string{strings.Repeat("4", 64)}, Models: []string{"Org/llama3.2:3b", "llama3-8b"}, Concurrency: map[string]int{"Org/llama3.2:3b": 16, "llama3-8b": 16}},
	}
	if diff := cmp.Diff(workers, got.Workers); diff != "" {
		t.Error("workers.d (-want +got)\n" + diff)
	}
	unit := find(t, hosts, "edge", plan.ID{Kind: plan.KindUnit, Name: "relay-server.service"}).Unit
	if want := published(t, folder, unit.Settings); got.Digest != want {
		t.Errorf("the relay publishes %s, relay-host expects %s", got.Digest, want)
	}
}

func TestWorkerLoadsWhatIsRendered(t *testing.T) {
	hosts := build(t, input(t, readCase(t, "testdata/prepared.txtar")))
	folder := onDisk(t, hosts[2])
	got, err := worker.LoadSettings(filepath.Join(folder, "/etc/relay/worker.json"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "gpu-2" || got.Relay.String() != "https://llm.example.com" || got.Roots == nil || got.Secret.IsZero() {
		t.Errorf("got name %s, relay %s, roots %v, secret of its own %t", got.Name, got.Relay, got.Roots, !got.Secret.IsZero())
	}
	var models []string
	for _, m := range got.Models {
		models = append(models, fmt.Sprintf("%s at %s as %q, %d of kind %s, right key %t",
			m.Name, m.Backend, m.Upstream, m.Concurrency, m.Kind, m.Key.Reveal() == ollamaKey))
	}
	want := []string{
		`Org/llama3.2:3b at http://127.0.0.1:11434 as "llama3.2:3b-instruct-q4_K_M", 16 of kind chat, right key true`,
		`llama3-8b at http://127.0.0.1:8000 as "", 16 of kind chat, right key false`,
	}
	if diff := cmp.Diff(want, models); diff != "" {
		t.Error("models (-want +got)\n" + diff)
	}
	unit := find(t, hosts, "gpu-2", plan.ID{Kind: plan.KindUnit, Name: "relay-worker.service"}).Unit
	if want := published(t, folder, unit.Settings); got.Digest != want {
		t.Errorf("the worker publishes %s, relay-host expects %s", got.Digest, want)
	}
}

// On the proxy's machine both find their settings in one folder.
func TestOneMachineLoadsWhatIsRendered(t *testing.T) {
	hosts := build(t, input(t, readCase(t, "testdata/one-machine.txtar")))
	folder := onDisk(t, hosts[0])
	if _, err := relay.LoadSettings(filepath.Join(folder, "/etc/relay")); err != nil {
		t.Error(err)
	}
	got, err := worker.LoadSettings(filepath.Join(folder, "/etc/relay/worker.json"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "gpu-1" || got.Relay.String() != "http://127.0.0.1:9000" || got.Roots != nil || got.Models[0].Key.Reveal() != ollamaKey {
		t.Errorf("got name %s, relay %s, roots %v", got.Name, got.Relay, got.Roots)
	}
	unit := find(t, hosts, "edge", plan.ID{Kind: plan.KindUnit, Name: "relay-worker.service"}).Unit
	if want := published(t, folder, unit.Settings); got.Digest != want {
		t.Errorf("the worker publishes %s, relay-host expects %s", got.Digest, want)
	}
}

// One machine wants what each of its roles would want on a machine of its own,
// each thing once and in the same way, but for the worker's root.
func TestOneMachineWantsTheUnion(t *testing.T) {
	in := input(t, readCase(t, "testdata/one-machine.txtar"))
	together := build(t, in)[0]
	in.OnProxy = ""
	in.Hosts["gpu-1"] = in.Hosts["edge"]
	wanted := map[plan.ID]plan.Resource{}
	for _, h := range build(t, in)[:2] {
		for _, r := range h.Want {
			other, both := wanted[r.ID]
			if both && !cmp.Equal(other.Want, r.Want) {
				t.Errorf("%s is wanted in two ways: %v and %v", r.ID, other.Want, r.Want)
			}
			wanted[r.ID] = r
		}
	}
	delete(wanted, plan.ID{Kind: plan.KindFile, Name: "/etc/relay/ca.pem"})
	var want, got []string
	for id := range wanted {
		want = append(want, id.String())
	}
	for _, r := range together.Want {
		got = append(got, r.ID.String())
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

// The limits of the stack file and of the relay agree.
func TestRelayTakesTheLimitsOfTheStack(t *testing.T) {
	in := input(t, readCase(t, "testdata/prepared.txtar"))
	in.Stack.Proxy.Relay.MaxQueue = 0
	if _, err := relay.LoadSettings(filepath.Join(onDisk(t, build(t, in)[0]), "/etc/relay")); err != nil {
		t.Error(err)
	}
}

// What a stack file may hold arrives at the worker and at the relay as it was
// written, whatever JSON, Caddy or systemd make of its characters.
func TestOddValuesAreLoadedAsTheyWere(t *testing.T) {
	for _, c := range []struct{ backend, upstream, url string }{
		{"http://127.0.0.1:11434", "/srv/my models/small", "http://127.0.0.1:11434"},
		{"http://127.0.0.1:11434/v1/", "Qwen2.5 32B (AWQ)", "http://127.0.0.1:11434"},
		{"https://10.0.0.5/my engine", `it's "this" & <that> \\ %h {x} $y é 模型 🦙`, "https://10.0.0.5/my%20engine"},
		{"http://[fe80::1%25eth0]:8000", "-m", "http://[fe80::1%25eth0]:8000"},
		{"http://my_vllm:8000", "/etc/", "http://my_vllm:8000"},
	} {
		in := input(t, readCase(t, "testdata/prepared.txtar"))
		m := in.Stack.Workers[1].Models[0]
		odd := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", "$${").Replace(c.upstream)
		given := load(t, strings.NewReplacer("BACKEND", c.backend, "UPSTREAM", odd).Replace(`
variable "ollama_key" { sensitive = true }
stack "home" {}
proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
}
worker "w" {
  address = "10.0.0.21"
  model "m" {
    backend     = "BACKEND"
    backend_key = "${var.ollama_key} with spaces ~"
    upstream    = "UPSTREAM"
  }
}
`)).Workers[0].Models[0]
		m.Backend, m.Upstream, m.BackendKey = given.Backend, given.Upstream, given.BackendKey
		folder := onDisk(t, build(t, in)[2])
		got, err := worker.LoadSettings(filepath.Join(folder, "/etc/relay/worker.json"))
		if err != nil {
			t.Errorf("%q: %v", c.upstream, err)
			continue
		}
		at := slices.IndexFunc(got.Models, func(other worker.Model) bool { return other.Name == m.Name })
		if loaded := got.Models[at]; loaded.Upstream != strings.ReplaceAll(c.upstream, "/etc/", folder+"/etc/") && loaded.Upstream != c.upstream ||
			loaded.Backend.String() != c.url || loaded.Key.Reveal() != ollamaKey+" with spaces ~" {
			t.Errorf("%s %q: loaded as %s %q", c.backend, c.upstream, loaded.Backend, loaded.Upstream)
		}
	}
}

// The relay reads every expiry that a stack file may have.
func TestRelayLoadsEveryExpiry(t *testing.T) {
	for _, expires := range []string{"9999-12-31", "9999-12-31T23:59:59-12:00", "2027-06-30t12:00:00.5z", "0001-01-02"} {
		in := input(t, readCase(t, "testdata/prepared.txtar"))
		given := load(t, "stack \"home\" {}\nproxy \"edge\" {\n  address = \"a\"\n  domain = \"b\"\n  tls \"internal\" {}\n}\napi_key \"k\" {\n  expires = \""+expires+"\"\n}\n")
		in.Stack.APIKeys[0].Expires = given.APIKeys[0].Expires
		if _, err := relay.LoadSettings(filepath.Join(onDisk(t, build(t, in)[0]), "/etc/relay")); err != nil {
			t.Errorf("%s: %v", expires, err)
		}
	}
}
