package desired

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// What hosts make themselves.
var (
	caID           = plan.ID{Kind: plan.KindCA, Name: plan.CAInternal}
	caKeyID        = plan.ID{Kind: plan.KindCA, Name: plan.CAInternalKey} // only to fill a file from
	probeID        = plan.ID{Kind: plan.KindSecret, Name: plan.SecretProbe}
	workerSecretID = plan.ID{Kind: plan.KindSecret, Name: plan.SecretWorker}
	workerNextID   = plan.ID{Kind: plan.KindSecret, Name: plan.SecretWorkerNext}
)

func keyID(name string) plan.ID { return plan.ID{Kind: plan.KindKey, Name: name} }

// made reads from the facts what hosts have made. Everything it returns is
// plan.MadeOn a host until that host has made it.
type made struct{ in Input }

// attribute is what a host's fact says of a thing that the host makes.
func (m made) attribute(host string, id plan.ID, name string) plan.Value {
	fact := m.in.Hosts[host].Facts.Find(id)
	if text := fact.Have[name]; fact.Exists && text != "" {
		return plan.Known(text)
	}
	return plan.MadeOn(host)
}

// root is the PEM of the stack's root certificate. That of another domain than
// the stack's is about to be made anew.
func (m made) root() plan.Value { return m.ofCA(plan.AttrPublic) }

// rootKey is the digest of the file of the root's key.
func (m made) rootKey() plan.Value { return m.ofCA(plan.AttrMAC) }

func (m made) ofCA(attribute string) plan.Value {
	p := m.in.Stack.Proxy
	if m.attribute(p.Name, caID, plan.AttrDomain) != plan.Known(p.Domain) {
		return plan.MadeOn(p.Name)
	}
	return m.attribute(p.Name, caID, attribute)
}

// caName is the root's name at Caddy. It follows from the certificate, since
// Caddy keeps the old intermediate when the root of one name changes.
func (m made) caName() (plan.Value, error) {
	root := m.root()
	if !root.IsKnown() {
		return root, nil
	}
	block, _ := pem.Decode([]byte(root.Text))
	if block == nil {
		return plan.Value{}, fmt.Errorf("read root certificate of %s: not PEM", m.in.Stack.Proxy.Name)
	}
	sum := sha256.Sum256(block.Bytes)
	return plan.Known("relayctl-" + hex.EncodeToString(sum[:])[:12]), nil
}

// probeHash is the hash of the key that is good for the probe only.
func (m made) probeHash() plan.Value {
	return m.attribute(m.in.Stack.Proxy.Name, probeID, plan.AttrPublic)
}

// keyHash is the hash of an API key, which the file may bring.
func (m made) keyHash(k *stack.APIKey) plan.Value {
	proxy := m.in.Stack.Proxy.Name
	switch {
	case !k.Value.IsKnown():
		if standing := m.standingKey(k.Name); standing != "" {
			return plan.Known(standing)
		}
		return plan.MadeOn(proxy)
	case !k.Value.IsZero():
		return plan.Known(k.Value.Hash())
	}
	shown := m.attribute(proxy, keyID(k.Name), plan.AttrShown) == plan.Known(plan.Yes)
	if !shown && !m.in.Prepared {
		return plan.MadeOn(proxy) // nobody knows it
	}
	return m.attribute(proxy, keyID(k.Name), plan.AttrDigest)
}

// appliedFile reads a file of settings that an apply left on a host, by its facts;
// nothing where there is none of ours that says.
func appliedFile[T any](facts plan.Facts, path string) (file T) {
	fact := facts.Find(fileID(path))
	if fact.Applied == nil || json.Unmarshal(fact.Content, &file) != nil {
		var none T
		return none
	}
	return file
}

// standingKey is the hash of an API key in the proxy host's file; empty: that
// does not say.
func (m made) standingKey(name string) string {
	for _, entry := range appliedFile[keyFile](m.onProxy(), keysPath).Keys {
		if entry.Name == name {
			return entry.Hash
		}
	}
	return ""
}

// workerHashes are the hashes by which the relay knows a worker, or else the
// host that is to make them. Those of a worker that was not looked at stay as
// they stand in the proxy's file.
func (m made) workerHashes(worker string) (hashes []string, madeOn string) {
	host := m.in.hostOf(worker)
	if _, looked := m.in.Hosts[host]; !looked {
		if standing := m.standingHashes(worker); len(standing) > 0 {
			return standing, ""
		}
	}
	hash := m.attribute(host, workerSecretID, plan.AttrPublic)
	if !hash.IsKnown() {
		return nil, hash.MadeOn
	}
	if next := m.nextHash(worker); next != "" && next != hash.Text {
		return []string{hash.Text, next}, ""
	}
	return []string{hash.Text}, ""
}

// StandingWorker names the worker that an apply left on a host, by its facts;
// empty: there is none.
func StandingWorker(facts plan.Facts) string {
	return appliedFile[workerSettings](facts, workerPath).Name
}

// standingHashes are those in the worker's file on the proxy host; none where
// that does not say.
func (m made) standingHashes(worker string) []string {
	return appliedFile[workerEntry](m.onProxy(), workerEntryPath(worker)).Hashes
}

// onProxy is what is known of the proxy host.
func (m made) onProxy() plan.Facts { return m.in.Hosts[m.in.Stack.Proxy.Name].Facts }
