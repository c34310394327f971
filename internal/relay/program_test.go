package relay_test

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/relay"
	"github.com/relayctl/relayctl/internal/worker"
)

// programVariable makes the test binary be one of the programs.
const programVariable = "RELAY_TEST_PROGRAM"

// beProgram runs the program that the environment asks for, if it asks.
func beProgram() {
	switch os.Getenv(programVariable) {
	case "relay-server":
		os.Exit(relay.Main(os.Args[1:], "1.2.3"))
	case "relay-worker":
		os.Exit(worker.Main(os.Args[1:], "1.2.3"))
	}
}

// process is one of the programs as systemd sees it.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	states chan string // what it tells the service manager
	exited chan struct{}

	mu     sync.Mutex
	output bytes.Buffer
}

func (p *process) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(data)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// execute starts a program with nothing in its environment but env.
func execute(t *testing.T, name string, env []string, args ...string) *process {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(os.Args[0], args...), states: make(chan string, 1000), exited: make(chan struct{})}
	p.cmd.Env = append([]string{programVariable + "=" + name, "NOTIFY_SOCKET=" + path}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := socket.Read(buf)
			if err != nil {
				return
			}
			p.states <- string(buf[:n])
		}
	})
	go func() {
		p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.exited
		socket.Close()
		reader.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.text())
		}
	})
	return p
}

// await waits until the program tells the service manager what has all parts.
func (p *process) await(parts ...string) string {
	p.t.Helper()
	limit := time.After(time.Minute)
	var last string
	for {
		select {
		case last = <-p.states:
			missing := false
			for _, part := range parts {
				missing = missing || !strings.Contains(last, part)
			}
			if !missing {
				return last
			}
		case <-limit:
			p.t.Fatalf("the program did not tell %q, last %q", parts, last)
		}
	}
}

// end sends a signal and returns the exit code.
func (p *process) end(signal os.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	return p.wait()
}

func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(time.Minute):
		p.t.Fatal("the program does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// workerFolder is a worker's settings folder.
type workerFolder struct {
	dir   string
	files map[string]any // worker.json
}

func newWorkerFolder(t *testing.T, relayAddress, engineURL string) *workerFolder {
	t.Helper()
	f := &workerFolder{dir: t.TempDir(), files: map[string]any{
		"managed_by": "x", "name": "gpu-1", "relay": "http://" + relayAddress, "secret_file": "worker.secret",
		"models": []map[string]any{{"name": "m", "backend": engineURL, "backend_key_file": "m.key", "concurrency": 2}},
	}}
	f.write(t, "worker.secret", workerSecret("gpu-1").Reveal()+"\n")
	f.write(t, "m.key", "engine-key")
	return f
}

func (f *workerFolder) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// load writes worker.json and loads it as the program does.
func (f *workerFolder) load(t *testing.T) *worker.Settings {
	t.Helper()
	writeJSON(t, f.path(), f.files)
	s, err := worker.LoadSettings(f.path())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (f *workerFolder) path() string { return filepath.Join(f.dir, "worker.json") }

// TestProgramsUnderSystemd: settings from files, what the service manager is
// told, reloads good and bad, and an orderly end.
func TestProgramsUnderSystemd(t *testing.T) {
	st := newStack(t)
	address := freeAddress(t)
	st.relay["listen"] = address
	settings := st.load(t)
	server := execute(t, "relay-server", nil, "--config", st.dir)
	server.await("READY=1", "STATUS=settings "+settings.Digest)

	folder := newWorkerFolder(t, address, echoEngine(t).URL)
	loaded := folder.load(t)
	gpu := execute(t, "relay-worker", nil, "--config", folder.path())
	gpu.await("READY=1", "STATUS=settings "+loaded.Digest+"; connecting")
	gpu.await("STATUS=settings " + loaded.Digest + "; connected")
	if status, _, body := ask(t, "http://"+address, laptopKey, askM); status != 200 {
		t.Fatalf("got %d %s", status, body)
	}
	reloadRelay(t, server, st, settings, address)
	reloadWorker(t, gpu, folder)
	if code := gpu.end(syscall.SIGTERM); code != 0 {
		t.Errorf("the worker ended with %d", code)
	}
	if code := server.end(syscall.SIGTERM); code != 0 {
		t.Errorf("the relay ended with %d", code)
	}
	server.await("STOPPING=1")
	for _, secret := range []string{laptopKey.Reveal(), probeKey.Reveal(), workerSecret("gpu-1").Reveal(), "engine-key"} {
		if strings.Contains(server.text()+gpu.text(), secret) {
			t.Errorf("a secret is in the log")
		}
	}
}

// reloadRelay: a bad file keeps the settings of before, a good one counts at
// once.
func reloadRelay(t *testing.T, server *process, st *stack, before *relay.Settings, address string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(st.dir, "keys.json"), []byte(`{"kees":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	signal(t, server, syscall.SIGHUP)
	server.await("RELOADING=1", "MONOTONIC_USEC=")
	server.await("READY=1", "STATUS=settings "+before.Digest+"; reload refused: ", "keys.json", `unknown field "kees"`)
	if status, _, _ := ask(t, "http://"+address, laptopKey, askM); status != 200 {
		t.Errorf("after a refused reload a good key got %d", status)
	}
	st.keys = st.keys[1:]
	changed := st.load(t)
	signal(t, server, syscall.SIGHUP)
	server.await("READY=1", "STATUS=settings "+changed.Digest)
	if status, _, _ := ask(t, "http://"+address, laptopKey, askM); status != 401 {
		t.Errorf("a revoked key got %d", status)
	}
	if status, _, _ := ask(t, "http://"+address, probeKey, `{"model":"m","max_tokens":1}`); status != 200 {
		t.Errorf("after the reload the worker is gone: %d", status)
	}
}

// reloadWorker does the same to a worker.
func reloadWorker(t *testing.T, gpu *process, folder *workerFolder) {
	t.Helper()
	folder.files["models"].([]map[string]any)[0]["concurrency"] = 9
	changed := folder.load(t)
	signal(t, gpu, syscall.SIGHUP)
	gpu.await("RELOADING=1")
	gpu.await("READY=1", "settings "+changed.Digest+"; connected")
	folder.write(t, "worker.secret", "")
	signal(t, gpu, syscall.SIGHUP)
	gpu.await("READY=1", "settings "+changed.Digest+"; connected; reload refused: ", "secret_file: is empty")
}

func signal(t *testing.T, p *process, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// TestProgramsByHand: the names that the guides of the field use.
func TestProgramsByHand(t *testing.T) {
	address := freeAddress(t)
	server := execute(t, "relay-server", []string{"WORKER_SECRET=by-hand", "LISTEN_ADDR=" + address, "REQUEST_TIMEOUT_SECS=300", "LOG_FORMAT=json"})
	server.await("READY=1", "settings by hand")
	gpu := execute(t, "relay-worker", []string{"PROXY_URL=http://" + address, "WORKER_SECRET=by-hand", "BACKEND_URL=" + echoEngine(t).URL, "BACKEND_KEY=engine-key", "WORKER_NAME=box", "MAX_CONCURRENCY=2"}, "--models", "llama3-8b,m")
	gpu.await("connected")
	awaitModel(t, address, "llama3-8b")
	response, err := http.Post("http://"+address+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"llama3-8b"}`))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 200 || response.Header.Get("Openai-Seen-Authorization") != "Bearer engine-key" {
		t.Errorf("got %d %v", response.StatusCode, response.Header)
	}
	if code := gpu.end(syscall.SIGINT); code != 0 {
		t.Errorf("the worker ended with %d", code)
	}
	if code := server.end(syscall.SIGINT); code != 0 {
		t.Errorf("the relay ended with %d", code)
	}
	first, _, _ := strings.Cut(server.text(), "\n")
	var line struct{ Level, Msg string }
	if err := json.Unmarshal([]byte(first), &line); err != nil || line.Level != "WARN" || !strings.Contains(line.Msg, "every client on this machine is taken") {
		t.Errorf("the first line is %s", first)
	}
}

// awaitModel waits until the relay at address lists model.
func awaitModel(t *testing.T, address, model string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		response, err := http.Get("http://" + address + "/v1/models")
		if err != nil {
			t.Fatal(err)
		}
		var list bytes.Buffer
		list.ReadFrom(response.Body)
		response.Body.Close()
		if strings.Contains(list.String(), `"`+model+`"`) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the relay lists %s", list.String())
		}
	}
}

func TestProgramsCommandLine(t *testing.T) {
	empty := t.TempDir()
	tests := []struct {
		program string
		env     []string
		args    []string
		code    int
		want    string
	}{
		{"relay-server", nil, []string{"--version"}, 0, "relay-server 1.2.3\n"},
		{"relay-worker", nil, []string{"--version"}, 0, "relay-worker 1.2.3\n"},
		{"relay-server", nil, []string{"--help"}, 0, "REQUEST_TIMEOUT_SECS"},
		{"relay-worker", nil, []string{"--help"}, 0, "PROXY_CA"},
		{"relay-server", nil, nil, 1, "WORKER_SECRET is not set"},
		{"relay-worker", nil, nil, 1, "PROXY_URL, WORKER_SECRET, BACKEND_URL and --models are all needed"},
		{"relay-server", nil, []string{"--worker-secret", "x"}, 1, "not defined: -worker-secret"},
		{"relay-worker", nil, []string{"--worker-secret", "x"}, 1, "not defined: -worker-secret"},
		{"relay-server", nil, []string{"extra"}, 1, `unexpected argument "extra"`},
		{"relay-server", []string{"LOG_LEVEL=loud"}, nil, 1, "log level"},
		{"relay-worker", []string{"LOG_FORMAT=xml"}, nil, 1, "log format"},
		{"relay-server", nil, []string{"--config", empty}, 1, "relay.json: no such file"},
		{"relay-worker", nil, []string{"--config", empty}, 1, "worker.json: no such file"},
		{"relay-server", []string{"WORKER_SECRET=s", "LISTEN_ADDR=0.0.0.0:8080"}, nil, 1, "only a loopback address"},
	}
	for _, test := range tests {
		p := execute(t, test.program, test.env, test.args...)
		if code := p.wait(); code != test.code || !strings.Contains(p.text(), test.want) {
			t.Errorf("%s %v %v: exit code %d: %s", test.program, test.env, test.args, code, p.text())
		}
	}
}
