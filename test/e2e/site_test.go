package e2e_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// domain is the public name of every stack here.
const domain = "llm.lab.test"

// site is a lab with a stack file, and an operator at this machine.
type site struct {
	*lab.TestLab
	t *testing.T

	Edge    *lab.Host
	Workers []*lab.Host
	Engines []lab.StubEngine // one per worker

	home    string // the operator's home and working folder: stack.hcl, .ssh, keys
	secrets []string
	said    *bytes.Buffer // everything that relayctl printed, for any operator
}

// emptySite is a lab without a host, and an operator. Tests with one run side by
// side: see turns.
func emptySite(t *testing.T) *site {
	t.Helper()
	labs.take(t)
	return &site{TestLab: lab.New(t), t: t, home: t.TempDir(), said: &bytes.Buffer{}}
}

// newSite boots edge, gpu-1 and gpu-2 with a stub engine on each worker, and
// writes the stack file for them. When the test ends, no output of relayctl,
// no journal and no command line may have shown a secret.
func newSite(t *testing.T) *site {
	t.Helper()
	s := emptySite(t)
	s.settle(s.BootAll(siteSpecs...))
	for _, w := range s.Workers {
		s.startEngine(w)
	}
	s.writeStack(s.stack())
	t.Cleanup(s.searchForSecrets)
	return s
}

// siteSpecs are the hosts of a site: both releases, and two of them alike.
var siteSpecs = []lab.Spec{
	{Name: "edge", Suite: lab.Trixie},
	{Name: "gpu-1", Suite: lab.Bookworm},
	{Name: "gpu-2", Suite: lab.Trixie},
}

// settle makes hosts those of the site, and knows them.
func (s *site) settle(hosts []*lab.Host) {
	s.t.Helper()
	s.Edge, s.Workers = hosts[0], hosts[1:]
	s.Name(domain, s.Edge)
	s.know(hosts...)
}

// startEngine starts a stub engine on a host, whose key the operator has.
func (s *site) startEngine(h *lab.Host) {
	s.t.Helper()
	engine, err := h.StartStubEngine(s.t.Context(), lab.StubOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.writeHome(h.Name+".key", engine.Key)
	s.adopt(engine)
}

// adopt makes an engine one of the site's.
func (s *site) adopt(engine lab.StubEngine) {
	s.Engines = append(s.Engines, engine)
	s.secrets = append(s.secrets, engine.Key)
}

// step runs a subtest, which goes on with the site as the one before left it.
func (s *site) step(name string, test func()) {
	s.t.Helper()
	outer := s.t
	defer func() { s.t = outer }()
	outer.Run(name, func(t *testing.T) {
		s.t = t
		test()
	})
}

// know writes the known_hosts of the operator.
func (s *site) know(hosts ...*lab.Host) {
	s.t.Helper()
	var known []byte
	for _, h := range hosts {
		keys, err := os.ReadFile(h.KnownHosts)
		if err != nil {
			s.t.Fatal(err)
		}
		known = append(known, keys...)
	}
	s.writeHome(".ssh/known_hosts", string(known))
}

// stack is the stack file for all hosts: admin with sudo, one model "stub".
func (s *site) stack() string {
	blocks := []string{s.proxy()}
	for _, w := range s.Workers {
		blocks = append(blocks, s.worker(w))
	}
	return s.stackOf(append(blocks, "api_key \"laptop\" {}\n")...)
}

// stackOf is a stack file of some blocks.
func (s *site) stackOf(blocks ...string) string {
	head := fmt.Sprintf("stack \"lab\" {}\n\nssh {\n  user          = \"admin\"\n  identity_file = %q\n}\n", s.SSHKeyFile)
	return strings.Join(append([]string{head}, blocks...), "\n")
}

// proxy is the block of the proxy.
func (s *site) proxy() string {
	return fmt.Sprintf("proxy \"edge\" {\n  address = %q\n  domain  = %q\n\n  tls \"internal\" {}\n}\n", s.Edge.Addr, domain)
}

// worker is the block of one worker.
func (s *site) worker(w *lab.Host) string {
	return fmt.Sprintf(`worker %q {
  address = %q

  model "stub" {
    backend     = "http://127.0.0.1:8000"
    backend_key = file("%s.key")
    concurrency = 8
  }
}
`, w.Name, w.Addr, w.Name)
}

func (s *site) writeStack(text string) { s.writeHome("stack.hcl", text) }

func (s *site) writeHome(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// result is what one run of relayctl did.
type result struct {
	out  string // standard output and error, as they came
	code int
}

// command is relayctl with the operator's home, without a terminal.
func (s *site) command(args ...string) *exec.Cmd {
	s.t.Helper()
	return s.commandOf(relayctlProgram, args...)
}

// commandOf is a program as the operator runs it.
func (s *site) commandOf(program string, args ...string) *exec.Cmd {
	s.t.Helper()
	cmd, err := s.CommandWithSSH(s.t.Context(), filepath.Join(s.home, ".ssh"), program, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Dir = s.home
	cmd.Env = []string{"HOME=" + s.home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
	return cmd
}

// relayctl runs relayctl to its end.
func (s *site) relayctl(args ...string) result {
	s.t.Helper()
	cmd := s.command(args...)
	out, err := cmd.CombinedOutput()
	return s.ran(cmd, out, err)
}

// ran takes down what a run of relayctl did.
func (s *site) ran(cmd *exec.Cmd, out []byte, err error) result {
	s.t.Helper()
	args := cmd.Args[1:]
	s.said.Write(out)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("run relayctl %s: %v", strings.Join(args, " "), err)
	}
	s.t.Logf("relayctl %s: exit code %d\n%s", strings.Join(args, " "), cmd.ProcessState.ExitCode(), out)
	return result{string(out), cmd.ProcessState.ExitCode()}
}

// mustRelayctl runs relayctl, which has to exit with 0, and returns what it
// printed.
func (s *site) mustRelayctl(args ...string) string {
	s.t.Helper()
	r := s.relayctl(args...)
	if r.code != 0 {
		s.t.Fatalf("relayctl %s: exit code %d, want 0", strings.Join(args, " "), r.code)
	}
	return r.out
}

// apply brings the stack about.
func (s *site) apply(args ...string) string {
	s.t.Helper()
	return s.mustRelayctl(append([]string{"apply", "--yes", "--keys-out", "keys"}, args...)...)
}

// mustBeDone fails unless a plan finds nothing to do.
func (s *site) mustBeDone() {
	s.t.Helper()
	if r := s.relayctl("plan", "--detailed-exitcode", "--diff"); r.code != 0 {
		s.t.Fatalf("plan after apply: exit code %d, want 0", r.code)
	}
}

// key returns an API key that an apply wrote: the last line of a name counts.
func (s *site) key(name string) string {
	s.t.Helper()
	content, err := os.ReadFile(filepath.Join(s.home, "keys"))
	if err != nil {
		s.t.Fatal(err)
	}
	key := ""
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			key = value
		}
	}
	if key == "" {
		s.t.Fatalf("no key for %s was written", name)
	}
	return key
}

// client trusts the stack's own CA and nothing else.
func (s *site) client() *http.Client {
	s.t.Helper()
	return s.clientThatTrusts(s.mustRelayctl("ca"))
}

// clientThatTrusts trusts one CA and nothing else.
func (s *site) clientThatTrusts(ca string) *http.Client {
	s.t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ca)) {
		s.t.Fatal("relayctl ca prints no certificate")
	}
	return s.HTTPClient(&tls.Config{RootCAs: roots})
}

// send makes one request to the public URL and returns the answer.
func (s *site) send(client *http.Client, method, path, key, body string) (status int, answer string) {
	s.t.Helper()
	status, answer, err := s.try(client, method, path, key, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return status, answer
}

// try is send where there may be nobody to answer.
func (s *site) try(client *http.Client, method, path, key, body string) (status int, answer string, err error) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, "https://"+domain+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// question asks a model for a short answer.
func question(model string) string {
	return fmt.Sprintf(`{"model":%q,"max_tokens":3,"messages":[{"role":"user","content":"Hello"}]}`, model)
}

// ask asks a model for an answer.
func (s *site) ask(client *http.Client, key, model string) (status int, answer string) {
	s.t.Helper()
	return s.send(client, http.MethodPost, "/v1/chat/completions", key, question(model))
}

// answers reports whether a model answers just now.
func (s *site) answers(client *http.Client, key, model string) bool {
	s.t.Helper()
	status, _, err := s.try(client, http.MethodPost, "/v1/chat/completions", key, question(model))
	return err == nil && status == http.StatusOK
}

// mustAnswer fails unless a model answers.
func (s *site) mustAnswer(client *http.Client, key, model string) {
	s.t.Helper()
	status, body := s.ask(client, key, model)
	if status != http.StatusOK || !strings.Contains(body, `"finish_reason"`) {
		s.t.Errorf("%s: status %d: %s", model, status, body)
	}
}

// want fails unless a text holds every part, be it broken into lines.
func want(t *testing.T, text string, parts ...string) {
	t.Helper()
	unbroken := strings.Join(strings.Fields(text), " ")
	for _, part := range parts {
		if !strings.Contains(text, part) && !strings.Contains(unbroken, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

// snapshots looks at every file of every host but those below ignored.
func (s *site) snapshots(ignored ...string) map[string]lab.Snapshot {
	s.t.Helper()
	all := map[string]lab.Snapshot{}
	for _, h := range append([]*lab.Host{s.Edge}, s.Workers...) {
		snapshot, err := h.Snapshot(ignored...)
		if err != nil || len(snapshot) < 1000 {
			s.t.Fatalf("%d files of %s: %v", len(snapshot), h.Name, err)
		}
		all[h.Name] = snapshot
	}
	return all
}

// services tells, by host and unit, which start of each service runs.
func (s *site) services() map[string]map[string]string {
	s.t.Helper()
	all := map[string]map[string]string{}
	for _, h := range append([]*lab.Host{s.Edge}, s.Workers...) {
		services, err := h.Services(s.t.Context())
		if err != nil || services["systemd-journald.service"] == "" {
			s.t.Fatalf("services of %s are %v: %v", h.Name, services, err)
		}
		all[h.Name] = services
	}
	return all
}
