package desired

import (
	"slices"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// The users that files belong to and services run as.
const (
	relayUser = "relay"
	caddyUser = "caddy" // made by the package
)

const (
	serverUnit = "relay-server.service"
	caddyUnit  = "caddy.service" // of the package
)

// Who may use what.
var (
	relayReadsDir  = access{"0750", "root", relayUser}
	relayReads     = access{"0640", "root", relayUser}
	caddyReadsDir  = access{"0750", "root", caddyUser}
	caddyReads     = access{"0640", "root", caddyUser}
	caddyOwnDir    = access{"0700", caddyUser, caddyUser} // also of root, as all is
	everybodyReads = access{"0644", "root", "root"}
)

// buildProxy says how the proxy host should be.
func buildProxy(in Input) (Host, error) {
	p := in.Stack.Proxy
	b := newBuilder(in, p.Name, p.Address, plan.RoleProxy)
	made := made{in}
	at := proxyOrigin(p, p.Place, "")
	if _, err := b.carriedProgram(hostProgram, at); err != nil {
		return Host{}, err
	}
	b.user(relayUser, at)
	b.madeHere(made)
	if err := b.relayServer(made); err != nil {
		return Host{}, err
	}
	if err := b.caddy(made); err != nil {
		return Host{}, err
	}
	if w, ok := in.Stack.Worker(in.OnProxy); ok {
		if err := b.worker(made, w); err != nil {
			return Host{}, err
		}
		// Until it has loaded the worker's hash, the relay turns the worker away.
		b.after(plan.ID{Kind: plan.KindUnit, Name: workerUnit}, plan.ID{Kind: plan.KindUnit, Name: serverUnit})
	}
	return b.host, nil
}

// madeHere adds what the proxy host makes and keeps.
func (b *builder) madeHere(m made) {
	p := m.in.Stack.Proxy
	b.want(plan.Resource{
		ID:     caID,
		Want:   map[string]plan.Value{plan.AttrDomain: plan.Known(p.Domain)},
		Origin: proxyOrigin(p, p.TLS.Place, ""),
	})
	b.want(plan.Resource{ID: probeID, Origin: proxyOrigin(p, p.Place, "")})
	for _, k := range m.in.Stack.APIKeys {
		if k.Value.IsZero() {
			b.want(plan.Resource{
				ID:     keyID(k.Name),
				Want:   map[string]plan.Value{plan.AttrDigest: m.keyHash(k), plan.AttrShown: plan.Known(plan.Yes)},
				Origin: keyOrigin(k),
			})
		}
	}
}

// relayServer adds the relay with its settings.
func (b *builder) relayServer(m made) error {
	p := m.in.Stack.Proxy
	at, settingsAt := proxyOrigin(p, p.Place, ""), proxyOrigin(p, p.Relay.Place, "")
	program, err := b.carriedProgram(serverProgram, at)
	if err != nil {
		return err
	}
	b.directory(relayDir, relayReadsDir, at)
	workers := b.directory(workersDir, relayReadsDir, at)
	settings, err := relayJSON(m.in.Stack)
	if err != nil {
		return err
	}
	keys, err := keysJSON(m)
	if err != nil {
		return err
	}
	service, err := renderRelayServer(m.in.Stack)
	if err != nil {
		return err
	}
	settingsFile := b.file(relayPath, relayReads, settings, settingsAt)
	keysFile := b.file(keysPath, relayReads, keys, at)
	for _, w := range m.in.Stack.Workers {
		entry, err := workerEntryJSON(m, w)
		if err != nil {
			return err
		}
		b.file(workerEntryPath(w.Name), relayReads, entry, workerOrigin(w, w.Place, ""))
	}
	serviceFile := b.file(plan.UnitsDir+"/"+serverUnit, everybodyReads, service, at)
	b.unit(serverUnit, plan.Unit{
		Restart:   []plan.ID{serviceFile},
		Reload:    []plan.ID{settingsFile, keysFile, workers},
		Settings:  []string{keysPath, relayPath, workersDir},
		Program:   &program,
		Lifecycle: plan.LifecycleRelay,
	}, at)
	listen := p.Relay.Listen
	b.listens(listen.Addr().String(), int(listen.Port()), serverUnit, proxyOrigin(p, p.Relay.Place, "listen"))
	b.listens(metricsAddr, stack.MetricsPort, serverUnit, settingsAt)
	return nil
}

// caddy adds the server in front of the relay, with its copy of the stack's
// certificate authority. Its file comes after those of the relay: until all is
// there that it leads to, it serves as before.
func (b *builder) caddy(m made) error {
	p := m.in.Stack.Proxy
	at := proxyOrigin(p, p.Place, "server")
	caddyfile, err := renderCaddyfile(m)
	if err != nil {
		return err
	}
	behind := b.files()
	program := b.want(plan.Resource{
		ID:     plan.ID{Kind: plan.KindPackage, Name: "caddy"},
		Want:   map[string]plan.Value{plan.AttrInstalled: plan.Known(plan.Yes)},
		Origin: at,
	})
	root := m.root()
	checked := []plan.ID{ // what its check opens
		b.directory(caddyCADir, caddyReadsDir, at),
		b.directory(plan.CaddyDir, caddyOwnDir, at), // the socket in it may be opened by whoever gets there
		b.file(caddyCertPath, caddyReads, text{known: root.Text, madeOn: root.MadeOn}, at),
		b.fileFrom(caddyKeyPath, caddyReads, caKeyID, m.rootKey(), at),
	}
	for _, id := range checked {
		b.after(id, program) // which brings the user
	}
	r := b.plainFile(plan.Caddyfile, everybodyReads, caddyfile, at)
	r.Check, r.Site = plan.LifecycleCaddy, p.Domain
	r.After = slices.Concat([]plan.ID{program}, checked, behind)
	file := b.want(r)
	unit := b.unit(caddyUnit, plan.Unit{
		Reload:    []plan.ID{file}, // it names the root that the other two hold
		Lifecycle: plan.LifecycleCaddy,
		Rivals:    []string{"caddy-api.service"},
		Drain:     adminSocket,
	}, at)
	b.after(unit, program)
	b.listens("", 80, caddyUnit, at)
	b.listens("", 443, caddyUnit, at)
	return nil
}

// files lists the files that are wanted so far.
func (b *builder) files() []plan.ID {
	var ids []plan.ID
	for _, r := range b.host.Want {
		if r.Kind == plan.KindFile {
			ids = append(ids, r.ID)
		}
	}
	return ids
}
