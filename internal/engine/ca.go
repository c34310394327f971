package engine

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/relayctl/relayctl/internal/plan"
)

// ErrNoCA means that the stack has no certificate authority of its own yet: it
// is made by the first apply.
var ErrNoCA = errors.New("the stack has no certificate authority yet")

// RootCA is the certificate of the stack's own certificate authority, PEM. It
// is kept on the proxy host.
func (s *Session) RootCA(ctx context.Context) (string, error) {
	name := s.config.Stack.Proxy.Name
	if failure := s.failed[name]; failure != nil {
		return "", HostErrors{failure}
	}
	ca := plan.Resource{ID: plan.ID{Kind: plan.KindCA, Name: plan.CAInternal}}
	seen, failure := s.proxy().look(ctx, []plan.Resource{ca})
	if failure == nil {
		failure = s.proxy().refuseManifest(seen.Facts.Manifest, s.config.Stack.Name, s.config.Version)
	}
	if failure != nil {
		return "", HostErrors{failure}
	}
	root := seen.Facts.Find(ca.ID).Have[plan.AttrPublic]
	if root == "" {
		return "", ErrNoCA
	}
	return onlyCertificate(root)
}

var errNoCertificate = errors.New("what the proxy host gives as its root is no certificate")

// onlyCertificate is the first certificate of text and nothing of what stands
// around it: a host must not get other text onto a terminal or into a file of
// trusted roots.
func onlyCertificate(text string) (string, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return "", errNoCertificate
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return "", fmt.Errorf("%w: %w", errNoCertificate, err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})), nil
}
