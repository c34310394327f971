package stack_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/internal/stack"
)

// load loads a fixture that has no mistakes.
func load(t *testing.T, file string) *stack.Stack {
	t.Helper()
	s, src, diags := stack.Load(file, stack.Options{Env: fixtureEnv, Home: "/home/ops", NeedValues: true})
	if diags.HasErrors() {
		t.Fatalf("load %s:\n%s", file, printed(t, src, diags))
	}
	return s
}

// comparing ignores where things stand, and compares secrets by their text.
var comparing = cmp.Options{
	cmpopts.IgnoreTypes(stack.Place{}, &stack.Sources{}),
	cmp.Comparer(func(a, b secret.Value) bool { return a.Reveal() == b.Reveal() }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

func TestLoadFull(t *testing.T) {
	common := stack.SSH{User: "ubuntu", Port: 2222, IdentityFile: "testdata/valid/keys/id_ed25519", Sudo: stack.SudoNone}
	edge, second := common, common
	edge.User, edge.Sudo = "root", stack.SudoAuto
	edge.HostKey = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
	second.Port, second.IdentityFile = 22, "/home/ops/id"
	want := &stack.Stack{
		Name: "home",
		Proxy: &stack.Proxy{
			Host:   stack.Host{Role: stack.RoleProxy, Name: "edge", Address: "Edge.Example.com", SSH: edge},
			Domain: "llm.example.com",
			Server: stack.ServerCaddy,
			TLS:    stack.TLS{Mode: stack.TLSInternal},
			Relay: stack.Relay{
				Listen:           netip.MustParseAddrPort("[::1]:9000"),
				FirstByteTimeout: time.Second,
				IdleTimeout:      24 * time.Hour,
				RequestTimeout:   90 * time.Minute,
				QueueTimeout:     90 * time.Second,
			},
		},
		Workers: []*stack.Worker{{
			Host: stack.Host{Role: stack.RoleWorker, Name: "gpu-1", Address: "10.0.0.21", SSH: common},
			Models: []*stack.Model{{
				Name: "llama3-8b", Backend: "http://127.0.0.1:11434", BackendKey: secret.New("hunter2hunter2"),
				Upstream: "llama3.2:3b-instruct-q4_K_M", Kind: stack.KindChat, Concurrency: 64,
			}, {
				Name: "Qwen/Qwen3:8b", Backend: "https://[2001:db8::1]:8443",
				Upstream: "Qwen/Qwen3:8b", Kind: stack.KindChat, Concurrency: 16,
			}},
		}, {
			Host: stack.Host{Role: stack.RoleWorker, Name: "gpu-2", Address: stack.Local, SSH: second},
			Models: []*stack.Model{{
				Name: "llama3-8b", Backend: "http://engine.lan",
				Upstream: "llama3-8b", Kind: stack.KindChat, Concurrency: 16,
			}},
		}},
		APIKeys: []*stack.APIKey{{
			Name: "laptop", Value: secret.New("laptop-0123456789-0123456789-0123456789"),
			Models: []string{"llama3-8b"}, Expires: time.Date(2027, 7, 1, 0, 0, 0, 0, time.UTC),
		}, {
			Name: "phone", Expires: time.Date(2027, 6, 30, 10, 0, 0, 0, time.UTC),
		}, {
			Name: "old", Value: secret.New(oldKey),
		}},
		SSH: stack.SSH{User: "ubuntu", Port: 2222, IdentityFile: "testdata/valid/keys/id_ed25519", Sudo: stack.SudoNone},
	}
	got := load(t, "testdata/valid/full.hcl")
	if diff := cmp.Diff(want, got, comparing); diff != "" {
		t.Errorf("stack (-want +got):\n%s", diff)
	}
}

func TestLoadMinimal(t *testing.T) {
	ssh := stack.SSH{Sudo: stack.SudoAuto}
	want := &stack.Stack{
		Name: "home",
		Proxy: &stack.Proxy{
			Host:   stack.Host{Role: stack.RoleProxy, Name: "edge", Address: "203.0.113.10", SSH: ssh},
			Domain: "llm.example.com",
			Server: stack.ServerCaddy,
			TLS:    stack.TLS{Mode: stack.TLSInternal},
			Relay: stack.Relay{
				Listen:           netip.MustParseAddrPort("127.0.0.1:8080"),
				FirstByteTimeout: 10 * time.Minute,
				IdleTimeout:      5 * time.Minute,
				RequestTimeout:   time.Hour,
				QueueTimeout:     30 * time.Second,
				MaxQueue:         100,
			},
		},
		SSH: ssh,
	}
	if diff := cmp.Diff(want, load(t, "testdata/valid/minimal.hcl"), comparing); diff != "" {
		t.Errorf("stack (-want +got):\n%s", diff)
	}
}

func TestExpiryIsInUTC(t *testing.T) {
	for _, key := range load(t, "testdata/valid/full.hcl").APIKeys {
		if key.Expires.Location() != time.UTC {
			t.Errorf("%s expires at %s", key.Name, key.Expires)
		}
	}
}

func TestPlaces(t *testing.T) {
	s := load(t, "testdata/valid/full.hcl")
	gpu2 := s.Workers[1]
	for name, c := range map[string]struct{ got, want int }{
		"stack":                      {s.Range.Start.Line, 26},
		"proxy":                      {s.Proxy.Range.Start.Line, 35},
		"attribute of the proxy":     {s.Proxy.At("domain").Start.Line, 37},
		"own ssh block":              {s.Proxy.SSH.At("host_key").Start.Line, 42},
		"ssh of the file":            {s.Workers[0].SSH.At("port").Start.Line, 30},
		"tls":                        {s.Proxy.TLS.Range.Start.Line, 46},
		"relay":                      {s.Proxy.Relay.At("listen").Start.Line, 49},
		"model":                      {s.Workers[0].Models[0].Range.Start.Line, 61},
		"attribute that is left out": {gpu2.Models[0].At("upstream").Start.Line, 83},
		"api_key":                    {s.APIKeys[0].At("expires").Start.Line, 91},
	} {
		if c.got != c.want {
			t.Errorf("%s: line %d, want %d", name, c.got, c.want)
		}
	}
}

func TestAccessors(t *testing.T) {
	s := load(t, "testdata/valid/full.hcl")
	var hosts []string
	for _, h := range s.Hosts() {
		hosts = append(hosts, string(h.Role)+" "+h.Name)
	}
	if diff := cmp.Diff([]string{"proxy edge", "worker gpu-1", "worker gpu-2"}, hosts); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Qwen/Qwen3:8b", "llama3-8b"}, s.ModelNames()); diff != "" {
		t.Errorf("models (-want +got):\n%s", diff)
	}
	if got := s.Workers[0].Models[1].Slug(); got != "qwen-qwen3-8b" {
		t.Errorf("slug = %s", got)
	}
	if w, ok := s.Worker("gpu-2"); !ok || !w.IsLocal() {
		t.Errorf("worker gpu-2 = %v, %v", w, ok)
	}
	if _, ok := s.Worker("gpu-9"); ok {
		t.Error("found a worker that there is not")
	}
}

func TestProxyURL(t *testing.T) {
	for domain, want := range map[string]string{
		"llm.example.com": "https://llm.example.com",
		"203.0.113.10":    "https://203.0.113.10",
		"2001:db8::1":     "https://[2001:db8::1]",
	} {
		p := &stack.Proxy{Domain: domain}
		if got := p.URL(); got != want {
			t.Errorf("URL of %s = %s, want %s", domain, got, want)
		}
		if _, ok := p.IP(); ok != (domain != "llm.example.com") {
			t.Errorf("IP of %s: %v", domain, ok)
		}
	}
}
