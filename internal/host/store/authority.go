package store

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
)

// Authority is a certificate authority.
type Authority struct {
	Root    []byte // certificate, PEM
	Key     []byte // its private key, PEM
	Domain  string // or address, the one that it may sign for
	Expires time.Time
}

// Times of a root certificate.
const (
	rootYears = 10
	// rootBackdate lets machines whose clock is somewhat slow take the root.
	rootBackdate = time.Hour
)

// AuthorityPath is one file for key and certificate, so that a crash never
// leaves one without the other.
func AuthorityPath(name string) string { return filepath.Join(plan.StoreDir, "ca", name+".pem") }

// Authority wraps fs.ErrNotExist when there is none.
func (s *Store) Authority(name string) (Authority, error) {
	content, err := os.ReadFile(s.Path(AuthorityPath(name)))
	if err != nil {
		return Authority{}, fmt.Errorf("read certificate authority: %w", err)
	}
	key, rest := pem.Decode(content)
	if key == nil || key.Type != keyBlock {
		return Authority{}, fmt.Errorf("read certificate authority %s: no key", name)
	}
	root, _ := pem.Decode(rest)
	if root == nil || root.Type != certificateBlock {
		return Authority{}, fmt.Errorf("read certificate authority %s: no certificate", name)
	}
	certificate, err := x509.ParseCertificate(root.Bytes)
	if err != nil {
		return Authority{}, fmt.Errorf("read certificate authority %s: %w", name, err)
	}
	return Authority{
		Root: pem.EncodeToMemory(root), Key: pem.EncodeToMemory(key),
		Domain: constrainedTo(certificate), Expires: certificate.NotAfter,
	}, nil
}

// The types of the PEM blocks.
const (
	keyBlock         = "EC PRIVATE KEY" // RFC 5915, which every server takes
	certificateBlock = "CERTIFICATE"
)

// NewAuthority makes a root that can sign for domain alone, a name or an
// address: people install it, and must not have to trust it any wider.
func NewAuthority(stack, domain string, now time.Time) (Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Authority{}, fmt.Errorf("make key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return Authority{}, fmt.Errorf("make serial number: %w", err)
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
		return Authority{}, fmt.Errorf("make certificate: %w", err)
	}
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return Authority{}, fmt.Errorf("encode key: %w", err)
	}
	return Authority{
		Root:   pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der}),
		Key:    pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: encoded}),
		Domain: domain, Expires: template.NotAfter,
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
