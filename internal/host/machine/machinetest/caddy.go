package machinetest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// Caddy is what the machine's Caddy runs, and how it takes what it is told.
type Caddy struct {
	Runs          string // the Caddyfile that it has loaded
	Off           bool   // every Caddyfile turns the admin endpoint off
	Refuses       string // text that its validation refuses
	RefusesReload string // text that it refuses only when it loads it
	IgnoresReload bool   // it says that it loads, and does not
	Moved         string // where a reload that it refused had it take orders; empty: where what it runs says

	listens map[string]bool // where it may, one at a time
}

// runCaddy is the command caddy.
func (m *Machine) runCaddy(command machine.Command) ([]byte, error) {
	path := command.Args[slices.Index(command.Args, "--config")+1]
	if adapter := command.Args[slices.Index(command.Args, "--adapter")+1]; adapter != "caddyfile" {
		return nil, &machine.CommandError{Name: "caddy", ExitCode: 1, Stderr: []string{"Error: unrecognized config adapter: " + adapter}}
	}
	content := m.Read(path)
	refused := func(text string) bool { return text != "" && strings.Contains(content, text) }
	switch command.Args[0] {
	case "adapt":
		if m.Caddy.Off {
			return []byte(`{"admin":{"disabled":true}}`), nil
		}
		return adapted(content), nil
	case "validate":
		if refused(m.Caddy.Refuses) {
			return nil, &machine.CommandError{Name: "caddy", ExitCode: 1, Stderr: []string{
				`{"level":"info","msg":"using provided configuration"}`, "Error: adapting: " + path + ":3: unknown directive",
			}}
		}
	case "reload":
		m.at("before caddy reload")
		to := adminIn(content)
		if at := slices.Index(command.Args, "--address"); at > 0 {
			to = command.Args[at+1]
		}
		if to != m.CaddyTakesOrders() {
			return nil, &machine.CommandError{Name: "caddy", ExitCode: 1, Stderr: []string{"Error: sending configuration to instance: dial " + to}}
		}
		if content == m.Caddy.Runs && !slices.Contains(command.Args, "--force") {
			return nil, nil
		}
		if refused(m.Caddy.RefusesReload) {
			m.Caddy.Moved = adminIn(content) // as Caddy 2.6.2 does
			return nil, &machine.CommandError{Name: "caddy", ExitCode: 1, Stderr: []string{"Error: sending configuration: HTTP 400"}}
		}
		if m.Caddy.IgnoresReload {
			return nil, nil
		}
		m.Caddy.Runs, m.Caddy.Moved = content, ""
		m.Systemd.Unit("caddy.service").Load()
		m.at("after caddy reload")
	}
	return nil, nil
}

// adapted is a Caddyfile as Caddy takes it.
func adapted(caddyfile string) []byte {
	return fmt.Appendf(nil, `{"admin":{"listen":%q,"disabled":%t},"text":%q}`,
		adminIn(caddyfile), adminIn(caddyfile) == "off", caddyfile)
}

// adminIn is where a Caddyfile has Caddy take orders.
func adminIn(caddyfile string) string {
	_, place, said := strings.Cut(caddyfile, "admin ")
	if !said {
		return "unix/" + CaddySocket
	}
	return strings.Fields(place)[0]
}

// CaddyTakesOrders is where it does, by what it runs or by what it refused last.
func (m *Machine) CaddyTakesOrders() string { return cmp.Or(m.Caddy.Moved, adminIn(m.Caddy.Runs)) }

// CaddySocket is where every Caddyfile of the tests has its admin endpoint.
const CaddySocket = "/run/caddy.sock"

// ServeCaddy says what Caddy runs, at its admin endpoint, wherever that is now.
func (m *Machine) ServeCaddy() {
	says := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(m.CaddyTakesOrders(), "unix/") != (r.Host == "") {
			http.Error(w, `{"error":"host not allowed"}`, http.StatusForbidden)
			return
		}
		w.Write(adapted(m.Caddy.Runs))
	}
	m.Mkdir(plan.CaddyDir)
	m.Caddy.listens = map[string]bool{}
	for _, socket := range []string{CaddySocket, plan.CaddySocket} {
		m.ServeSocket(socket, says)
		m.Caddy.listens[m.Path(socket)] = true
	}
	for _, address := range []string{"127.0.0.1:2019", "127.0.0.1:2020"} {
		m.Serve(address, says)
		m.Caddy.listens[address] = true
	}
}
