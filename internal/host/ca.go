package host

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// authorities are certificate authorities that may sign for one name.
type authorities struct{ *Host }

// authority is a CA as it is kept.
type authority struct {
	root    []byte // certificate, PEM
	key     []byte // its private key, PEM
	domain  string
	expires time.Time
}

// Times of a root certificate.
const (
	rootYears = 10
	// rootBackdate lets machines whose clock is somewhat slow take the root.
	rootBackdate = time.Hour
)

func (a authorities) observe(_ context.Context, _ *look, resource plan.Resource, fact *plan.Fact) error {
	ca, err := a.loadAuthority(resource.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mac, err := a.digest(ca.key, true)
	if err != nil {
		return err
	}
	fact.Exists = true
	fact.Have = map[string]string{
		plan.AttrDomain: ca.domain, plan.AttrPublic: string(ca.root),
		plan.AttrMAC: mac, plan.AttrNotAfter: ca.expires.UTC().Format(time.RFC3339),
	}
	return nil
}

// bring makes a root.
func (a authorities) bring(_ context.Context, b *batch, step step) (outcome, error) {
	domain := step.resource.Want[plan.AttrDomain].Text
	if domain == "" {
		return outcome{}, badRequest("%s: no domain to sign for", step.resource.ID)
	}
	ca, err := newAuthority(b.host.session.apply.Stack, domain, time.Now())
	if err != nil {
		return outcome{}, err
	}
	path := authorityPath(step.resource.Name)
	if err := machine.WriteAtomically(a.Path(path), append(ca.key, ca.root...), 0o600); err != nil {
		return outcome{}, fmt.Errorf("keep certificate authority: %w", err)
	}
	return outcome{made: true}, nil
}

func (a authorities) remove(_ context.Context, b *batch, step step) error {
	return machine.RemoveIfThere(a.Path(authorityPath(step.change.ID.Name)))
}

// keep keeps a root that is about to go: somebody may still have to answer for
// what it signed.
func (a authorities) keep(todo step) (string, error) {
	return a.keepFormer(authorityPath(todo.change.ID.Name), a.session.apply.Number)
}

// authorityPath is one file for key and certificate, so that a crash never
// leaves one without the other.
func authorityPath(name string) string { return filepath.Join(plan.StoreDir, "ca", name+".pem") }

// loadAuthority wraps fs.ErrNotExist when there is none.
func (h *Host) loadAuthority(name string) (authority, error) {
	content, err := os.ReadFile(h.Path(authorityPath(name)))
	if err != nil {
		return authority{}, fmt.Errorf("read certificate authority: %w", err)
	}
	key, rest := pem.Decode(content)
	if key == nil || key.Type != keyBlock {
		return authority{}, fmt.Errorf("read certificate authority %s: no key", name)
	}
	root, _ := pem.Decode(rest)
	if root == nil || root.Type != certificateBlock {
		return authority{}, fmt.Errorf("read certificate authority %s: no certificate", name)
	}
	certificate, err := x509.ParseCertificate(root.Bytes)
	if err != nil {
		return authority{}, fmt.Errorf("read certificate authority %s: %w", name, err)
	}
	return authority{
		root: pem.EncodeToMemory(root), key: pem.EncodeToMemory(key),
		domain: constrainedTo(certificate), expires: certificate.NotAfter,
	}, nil
}

// The types of the PEM blocks.
const (
	keyBlock         = "EC PRIVATE KEY" // RFC 5915, which every server takes
	certificateBlock = "CERTIFICATE"
)

// newAuthority makes a root that can sign for domain alone, a name or an
// address: people install it, and must not have to trust it any wider.
func newAuthority(stack, domain string, now time.Time) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, fmt.Errorf("make key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return authority{}, fmt.Errorf("make serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "relayctl stack " + stack, Organization: []string{"relayctl"}},
		NotBefore:    now.Add(-rootBackdate), NotAfter: now.AddDate(rootYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedDNSDomainsCritical: true,
	}
	constrain(template, domain)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return authority{}, fmt.Errorf("make certificate: %w", err)
	}
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return authority{}, fmt.Errorf("encode key: %w", err)
	}
	return authority{
		root:   pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der}),
		key:    pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: encoded}),
		domain: domain, expires: template.NotAfter,
	}, nil
}

// constrain lets template sign for domain alone. A name constraint of one form
// does not bind names of the other (RFC 5280, section 4.2.1.10), so the other
// form is excluded as a whole.
func constrain(template *x509.Certificate, domain string) {
	ip := net.ParseIP(domain)
	if ip == nil {
		template.PermittedDNSDomains = []string{domain}
		template.ExcludedIPRanges = []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		}
		return
	}
	if v4 := ip.To4(); v4 != nil {
		ip = v4
	}
	template.PermittedIPRanges = []*net.IPNet{{IP: ip, Mask: net.CIDRMask(8*len(ip), 8*len(ip))}}
	template.ExcludedDNSDomains = []string{""} // RFC 5280: every name ends in nothing
}

// constrainedTo is the one name or address that a root may sign for.
func constrainedTo(certificate *x509.Certificate) string {
	switch {
	case len(certificate.PermittedDNSDomains) == 1:
		return certificate.PermittedDNSDomains[0]
	case len(certificate.PermittedIPRanges) == 1:
		return certificate.PermittedIPRanges[0].IP.String()
	}
	return ""
}
