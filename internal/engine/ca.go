package engine

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/relayctl/relayctl/internal/plan"
)

// ErrNoCA means that the stack has no certificate authority of its own yet: it
// is made by the first apply.
var ErrNoCA = errors.New("the stack has no certificate authority yet")

// internalCA is the stack's own certificate authority.
var internalCA = plan.ID{Kind: plan.KindCA, Name: plan.CAInternal}

// RootCA is the certificate of the stack's own certificate authority, PEM. It
// is kept on the proxy host.
func (s *Session) RootCA(ctx context.Context) (string, error) {
	name := s.config.Stack.Proxy.Name
	if failure := s.failed[name]; failure != nil {
		return "", HostErrors{failure}
	}
	seen, failure := s.proxy().look(ctx, []plan.Resource{{ID: internalCA}})
	if failure == nil {
		failure = s.proxy().refuseManifest(seen.Facts.Manifest, s.config.Stack.Name, s.config.Version)
	}
	if failure != nil {
		return "", HostErrors{failure}
	}
	root := seen.Facts.Find(internalCA).Have[plan.AttrPublic]
	if root == "" {
		return "", ErrNoCA
	}
	return onlyRoot(root, s.config.Stack.Proxy.Domain)
}

var (
	errNoCertificate = errors.New("what the proxy host gives as its root is no certificate")
	errWideRoot      = errors.New("what the proxy host gives as its root is not bound to the stack's domain: do not trust it")
)

// onlyRoot is the first certificate of text and nothing of what stands around
// it: a host must not get other text onto a terminal or into a file of trusted
// roots, nor a root that could sign for more than the stack's domain.
func onlyRoot(text, domain string) (string, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return "", errNoCertificate
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoCertificate, err)
	}
	if !isBoundTo(certificate, domain) {
		return "", errWideRoot
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})), nil
}

// isBoundTo reports whether a root can sign for domain, a name or an address,
// and for no other. A name constraint of one form does not bind names of the
// other (RFC 5280, section 4.2.1.10), so the other form has to be excluded.
func isBoundTo(root *x509.Certificate, domain string) bool {
	if !root.IsCA || !root.PermittedDNSDomainsCritical {
		return false
	}
	names, ranges := root.PermittedDNSDomains, root.PermittedIPRanges
	if ip := net.ParseIP(domain); ip != nil {
		return len(names) == 0 && slices.Contains(root.ExcludedDNSDomains, "") &&
			len(ranges) == 1 && isOnly(ranges[0], ip)
	}
	return len(names) == 1 && names[0] == domain && len(ranges) == 0 &&
		excludesAll(root.ExcludedIPRanges, net.IPv4len) && excludesAll(root.ExcludedIPRanges, net.IPv6len)
}

// isOnly reports whether a range holds one address alone.
func isOnly(r *net.IPNet, ip net.IP) bool {
	ones, bits := r.Mask.Size()
	return ones == bits && r.IP.Equal(ip)
}

// excludesAll reports whether ranges hold every address of a length in bytes.
func excludesAll(ranges []*net.IPNet, length int) bool {
	return slices.ContainsFunc(ranges, func(r *net.IPNet) bool {
		ones, bits := r.Mask.Size()
		return ones == 0 && bits == 8*length
	})
}
