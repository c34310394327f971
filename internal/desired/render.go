package desired

import (
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
	"github.com/relayctl/relayctl/templates"
)

type caddyfile struct {
	Stack          string
	Domain         string
	IP             bool   // the domain is an address
	URL            string // without a path
	CA             string // its name
	CACert, CAKey  string // paths
	Admin          string // path
	Relay          string // address and port
	RequestTimeout string
}

// proxyPatience is how much longer than the relay the proxy waits, so that the
// relay's own answer to a request that took too long wins.
const proxyPatience = 30 * time.Second

func renderCaddyfile(m made) (text, error) {
	ca, err := m.caName()
	if err != nil || !ca.IsKnown() {
		return text{madeOn: ca.MadeOn}, err
	}
	p := m.in.Stack.Proxy
	_, isIP := p.IP()
	return render("caddy/Caddyfile.tmpl", caddyfile{
		Stack:          m.in.Stack.Name,
		Domain:         p.Domain,
		IP:             isIP,
		URL:            p.URL(),
		CA:             ca.Text,
		CACert:         caddyCertPath,
		CAKey:          caddyKeyPath,
		Admin:          plan.CaddySocket,
		Relay:          p.Relay.Listen.String(),
		RequestTimeout: (p.Relay.RequestTimeout + proxyPatience).String(),
	})
}

type relayServer struct {
	Stack   string
	Listen  string // address and port: it is no setting that a reload can change
	Program string // path
	Config  string // path
}

func renderRelayServer(s *stack.Stack) (text, error) {
	return render("systemd/relay-server.service.tmpl", relayServer{
		Stack:   s.Name,
		Listen:  s.Proxy.Relay.Listen.String(),
		Program: programPath(serverProgram),
		Config:  relayDir,
	})
}

type relayWorker struct {
	Stack   string
	Worker  string
	Program string // path
	Config  string // path
}

func renderRelayWorker(s *stack.Stack, w *stack.Worker) (text, error) {
	return render("systemd/relay-worker.service.tmpl", relayWorker{
		Stack:   s.Name,
		Worker:  w.Name,
		Program: programPath(workerProgram),
		Config:  workerPath,
	})
}

// render fills in one template.
func render(name string, data any) (text, error) {
	source, err := templates.FS.ReadFile(name)
	if err != nil {
		return text{}, fmt.Errorf("read template: %w", err)
	}
	escapers := template.FuncMap{
		"comment": comment, "systemdText": systemdText, "caddyQuote": caddyQuote, "caddyText": caddyText,
	}
	parsed, err := template.New(name).Funcs(escapers).Option("missingkey=error").Parse(string(source))
	if err != nil {
		return text{}, fmt.Errorf("parse template: %w", err)
	}
	var b strings.Builder
	if err := parsed.Execute(&b, data); err != nil {
		return text{}, fmt.Errorf("fill in template: %w", err)
	}
	return text{known: b.String()}, nil
}
