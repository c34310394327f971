package desired

import (
	"slices"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// caddyUser is the user that Caddy runs as, made by its package.
const caddyUser = "caddy"

const (
	serverUnit = "relay-server.service"
	caddyUnit  = "caddy.service" // of the package
)

// Who may use what.
var (
	relayReadsDir  = access{"0750", "root", plan.RelayUser}
	relayReads     = access{"0640", "root", plan.RelayUser}
	caddyReadsDir  = access{"0750", "root", caddyUser}
	caddyReads     = access{"0640", "root", caddyUser}
	caddyOwnDir    = access{"0700", caddyUser, caddyUser} // also of root, as all is
	everybodyReads = access{"0644", "root", "root"}
)

// buildProxy says how the proxy host should be.
func buildProxy(in Input) *builder {
	p := in.Stack.Proxy
	b := newBuilder(in, p.Name, p.Address, plan.RoleProxy)
	at := proxyOrigin(p, p.Place, "")
	b.carriedProgram(hostProgram, at)
	b.user(plan.RelayUser, at)
	b.madeHere()
	b.relayServer()
	b.caddy()
	if w, ok := in.Stack.Worker(in.OnProxy); ok {
		b.worker(w)
		// Until it has loaded the worker's hash, the relay turns the worker away.
		b.after(unitID(workerUnit), unitID(serverUnit))
	}
	return b
}

// madeHere adds what the proxy host makes and keeps.
func (b *builder) madeHere() {
	p := b.in.Stack.Proxy
	b.want(plan.Resource{
		ID:     caID,
		Want:   map[string]plan.Value{plan.AttrDomain: plan.Known(p.Domain)},
		Origin: proxyOrigin(p, p.TLS.Place, ""),
	})
	b.want(plan.Resource{ID: probeID, Origin: proxyOrigin(p, p.Place, "")})
	for _, k := range b.in.Stack.APIKeys {
		if k.Value.IsZero() {
			b.want(plan.Resource{
				ID:     keyID(k.Name),
				Want:   map[string]plan.Value{plan.AttrDigest: b.keyHash(k), plan.AttrShown: plan.Known(plan.Yes)},
				Origin: origin(k.Place, "", "api_key", k.Name),
			})
		}
	}
}

// relayServer adds the relay with its settings.
func (b *builder) relayServer() {
	p := b.in.Stack.Proxy
	at, settingsAt := proxyOrigin(p, p.Place, ""), proxyOrigin(p, p.Relay.Place, "")
	program := b.carriedProgram(serverProgram, at)
	b.directory(relayDir, relayReadsDir, at)
	workers := b.directory(workersDir, relayReadsDir, at)
	settingsFile := b.file(relayPath, relayReads, b.rendered(relayJSON(b.in.Stack)), settingsAt)
	keysFile := b.granting(keysPath, relayReads, b.rendered(keysJSON(b.made)), at)
	for _, w := range b.in.Stack.Workers {
		b.granting(workerEntryPath(w.Name), relayReads, b.rendered(workerEntryJSON(b.made, w)), workerOrigin(w, w.Place, ""))
	}
	serviceFile := b.file(plan.UnitsDir+"/"+serverUnit, everybodyReads, b.rendered(renderService(serverUnit, service{
		Stack:   b.in.Stack.Name,
		Listen:  p.Relay.Listen.String(),
		Program: programPath(serverProgram),
		Config:  relayDir,
	})), at)
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
}

// caddy adds the server in front of the relay, with its copy of the stack's
// certificate authority. Its file comes after those of the relay: until all is
// there that it leads to, it serves as before.
func (b *builder) caddy() {
	p := b.in.Stack.Proxy
	at := proxyOrigin(p, p.Place, "server")
	behind := b.files()
	program := b.want(plan.Resource{
		ID:     plan.ID{Kind: plan.KindPackage, Name: "caddy"},
		Want:   map[string]plan.Value{plan.AttrInstalled: plan.Known(plan.Yes)},
		Origin: at,
	})
	root := b.root()
	checked := []plan.ID{ // what its check opens
		b.directory(caddyCADir, caddyReadsDir, at),
		b.directory(plan.CaddyDir, caddyOwnDir, at), // the socket in it may be opened by whoever gets there
		b.file(caddyCertPath, caddyReads, text{known: root.Text, madeOn: root.MadeOn}, at),
		b.fileFrom(caddyKeyPath, caddyReads, caKeyID, b.rootKey(), at),
	}
	for _, id := range checked {
		b.after(id, program) // which brings the user
	}
	r := b.plainFile(plan.Caddyfile, everybodyReads, b.rendered(renderCaddyfile(b.made)), at)
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
