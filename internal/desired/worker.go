package desired

import (
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

const workerUnit = "relay-worker.service"

// buildWorker says how a worker host should be.
func buildWorker(in Input, w *stack.Worker) (Host, error) {
	b := newBuilder(in, w.Name, w.Address, plan.RoleWorker)
	made := made{in}
	at := workerOrigin(w, w.Place, "")
	if _, err := b.carriedProgram(hostProgram, at); err != nil {
		return Host{}, err
	}
	program, err := b.carriedProgram(workerProgram, at)
	if err != nil {
		return Host{}, err
	}
	b.user(relayUser, at)
	b.directory(relayDir, relayReadsDir, at)
	for _, secret := range made.workerSecrets(w.Name) {
		secret.Origin = at
		b.want(secret)
	}
	loaded, err := b.workerFiles(made, w)
	if err != nil {
		return Host{}, err
	}
	service, err := renderRelayWorker(in.Stack, w)
	if err != nil {
		return Host{}, err
	}
	serviceFile := b.file(unitsDir+"/"+workerUnit, everybodyReads, service, at)
	b.unit(workerUnit, plan.Unit{
		Restart:  []plan.ID{serviceFile},
		Reload:   loaded,
		Settings: []string{workerPath, rootPath},
		Program:  &program,
	}, at)
	return b.host, nil
}

// workerFiles adds what relay-worker reads, and lists it.
func (b *builder) workerFiles(m made, w *stack.Worker) ([]plan.ID, error) {
	at := workerOrigin(w, w.Place, "")
	settings, err := workerJSON(m.in.Stack, w)
	if err != nil {
		return nil, err
	}
	root := m.root()
	from := m.usedSecret(w.Name)
	secretDigest := m.attribute(w.Name, from, plan.AttrMAC)
	loaded := []plan.ID{
		b.file(workerPath, relayReads, settings, at),
		b.file(rootPath, relayReads, text{known: root.Text, madeOn: root.MadeOn}, at),
		b.fileFrom(workerSecretPath, relayReads, from, secretDigest, at),
		b.directory(backendsDir, relayReadsDir, at),
	}
	for _, model := range w.Models {
		if !model.BackendKey.IsZero() {
			b.secretFile(backendKeyPath(model), relayReads, model.BackendKey, workerOrigin(w, model.Place, "backend_key"))
		}
	}
	return loaded, nil
}
