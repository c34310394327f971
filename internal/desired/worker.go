package desired

import (
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

const workerUnit = "relay-worker.service"

// buildWorker says how a worker host should be.
func buildWorker(in Input, w *stack.Worker) (Host, error) {
	b := newBuilder(in, w.Name, w.Address, plan.RoleWorker)
	if err := b.worker(made{in}, w); err != nil {
		return Host{}, err
	}
	return b.host, nil
}

// worker adds a worker with its settings.
func (b *builder) worker(m made, w *stack.Worker) error {
	b.host.Worker = w.Name
	at := workerOrigin(w, w.Place, "")
	if _, err := b.carriedProgram(hostProgram, at); err != nil {
		return err
	}
	program, err := b.carriedProgram(workerProgram, at)
	if err != nil {
		return err
	}
	b.user(relayUser, at)
	b.directory(relayDir, relayReadsDir, at)
	for _, secret := range m.workerSecrets(w.Name) {
		secret.Origin = at
		b.want(secret)
	}
	relay := relayFor(m.in, w)
	loaded, err := b.workerFiles(m, w, relay)
	if err != nil {
		return err
	}
	service, err := renderRelayWorker(m.in.Stack, w)
	if err != nil {
		return err
	}
	serviceFile := b.file(plan.UnitsDir+"/"+workerUnit, everybodyReads, service, at)
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
	return nil
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
func (b *builder) workerFiles(m made, w *stack.Worker, relay relayWay) ([]plan.ID, error) {
	at := workerOrigin(w, w.Place, "")
	settings, err := workerJSON(m.in.Stack, w, relay)
	if err != nil {
		return nil, err
	}
	from := m.usedSecret(w.Name)
	secretDigest := m.attribute(m.in.hostOf(w.Name), from, plan.AttrMAC)
	loaded := []plan.ID{b.file(workerPath, relayReads, settings, at)}
	if relay.caFile != "" {
		root := m.root()
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
	return loaded, nil
}
