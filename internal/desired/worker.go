package desired

import (
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

const workerUnit = "relay-worker.service"

// buildWorker says how a worker host should be.
func buildWorker(in Input, w *stack.Worker) *builder {
	b := newBuilder(in, w.Name, w.Address, plan.RoleWorker)
	b.worker(w)
	return b
}

// worker adds a worker with its settings.
func (b *builder) worker(w *stack.Worker) {
	b.host.Worker = w.Name
	at := workerOrigin(w, w.Place, "")
	b.carriedProgram(hostProgram, at)
	program := b.carriedProgram(workerProgram, at)
	b.user(plan.RelayUser, at)
	b.directory(relayDir, relayReadsDir, at)
	for _, secret := range b.workerSecrets(w.Name) {
		secret.Origin = at
		b.want(secret)
	}
	relay := relayFor(b.in, w)
	loaded := b.workerFiles(w, relay)
	serviceFile := b.file(plan.UnitsDir+"/"+workerUnit, everybodyReads, b.rendered(renderService(workerUnit, service{
		Stack:   b.in.Stack.Name,
		Worker:  w.Name,
		Program: programPath(workerProgram),
		Config:  workerPath,
	})), at)
	settings := []string{workerPath}
	if relay.caFile != "" {
		settings = append(settings, relay.caFile)
	}
	b.unit(workerUnit, plan.Unit{
		Restart:  []plan.ID{serviceFile},
		Reload:   loaded,
		Settings: settings,
		Program:  &program,
	}, at)
}

// relayWay is how a worker reaches the relay.
type relayWay struct {
	url    string
	caFile string // path of the root to trust; empty: there is no TLS
}

// relayFor is the public URL; on the relay's own machine it is where the relay
// listens, on loopback.
func relayFor(in Input, w *stack.Worker) relayWay {
	if w.Name == in.OnProxy {
		return relayWay{url: "http://" + in.Stack.Proxy.Relay.Listen.String()}
	}
	return relayWay{url: in.Stack.Proxy.URL(), caFile: rootPath}
}

// workerFiles adds what relay-worker reads, and lists it.
func (b *builder) workerFiles(w *stack.Worker, relay relayWay) []plan.ID {
	at := workerOrigin(w, w.Place, "")
	from := b.usedSecret(w.Name)
	secretDigest := b.attribute(b.in.hostOf(w.Name), from, plan.AttrMAC)
	loaded := []plan.ID{b.file(workerPath, relayReads, b.rendered(workerJSON(b.in.Stack, w, relay)), at)}
	if relay.caFile != "" {
		root := b.root()
		loaded = append(loaded, b.file(relay.caFile, relayReads, text{known: root.Text, madeOn: root.MadeOn}, at))
	}
	loaded = append(loaded,
		b.fileFrom(workerSecretPath, relayReads, from, secretDigest, at),
		b.directory(backendsDir, relayReadsDir, at))
	for _, model := range w.Models {
		if !model.BackendKey.IsZero() {
			b.secretFile(backendKeyPath(model), relayReads, model.BackendKey, workerOrigin(w, model.Place, "backend_key"))
		}
	}
	return loaded
}
