package engine_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"testing"

	"github.com/relayctl/relayctl/internal/engine"
)

func TestRootsThatSignForMoreAreNotHandedOut(t *testing.T) {
	everyIP := []*net.IPNet{allOf(32), allOf(128)}
	domain := func(change func(*x509.Certificate)) *x509.Certificate {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, PermittedDNSDomainsCritical: true,
			PermittedDNSDomains: []string{"llm.example.com"}, ExcludedIPRanges: everyIP,
		}
		change(c)
		return c
	}
	address := func(change func(*x509.Certificate)) *x509.Certificate {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, PermittedDNSDomainsCritical: true,
			PermittedIPRanges:  []*net.IPNet{{IP: net.IPv4(10, 0, 0, 5).To4(), Mask: net.CIDRMask(32, 32)}},
			ExcludedDNSDomains: []string{""},
		}
		change(c)
		return c
	}
	asItIs := func(*x509.Certificate) {}
	for _, test := range []struct {
		name   string
		root   *x509.Certificate
		domain string
		ok     bool
	}{
		{"bound to the domain", domain(asItIs), "llm.example.com", true},
		{"bound to the address", address(asItIs), "10.0.0.5", true},
		{"of another domain", domain(asItIs), "other.example.com", false},
		{"of another address", address(asItIs), "10.0.0.6", false},
		{"bound to nothing", domain(func(c *x509.Certificate) {
			c.PermittedDNSDomains, c.ExcludedIPRanges, c.PermittedDNSDomainsCritical = nil, nil, false
		}), "llm.example.com", false},
		{"bound to two domains", domain(func(c *x509.Certificate) {
			c.PermittedDNSDomains = append(c.PermittedDNSDomains, "bank.example.com")
		}), "llm.example.com", false},
		{"bound to a domain above", domain(func(c *x509.Certificate) { c.PermittedDNSDomains[0] = "example.com" }), "llm.example.com", false},
		{"not critical", domain(func(c *x509.Certificate) { c.PermittedDNSDomainsCritical = false }), "llm.example.com", false},
		{"good for addresses too", domain(func(c *x509.Certificate) { c.ExcludedIPRanges = nil }), "llm.example.com", false},
		{"good for IPv6 addresses too", domain(func(c *x509.Certificate) { c.ExcludedIPRanges = everyIP[:1] }), "llm.example.com", false},
		{"good for names too", address(func(c *x509.Certificate) { c.ExcludedDNSDomains = nil }), "10.0.0.5", false},
		{"good for a network", address(func(c *x509.Certificate) { c.PermittedIPRanges[0].Mask = net.CIDRMask(24, 32) }), "10.0.0.5", false},
		{"no authority", domain(func(c *x509.Certificate) { c.IsCA = false }), "llm.example.com", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := engine.OnlyRoot(signed(t, test.root), test.domain)
			if (err == nil) != test.ok {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func allOf(bits int) *net.IPNet {
	return &net.IPNet{IP: make(net.IP, bits/8), Mask: net.CIDRMask(0, bits)}
}

// signed is a certificate signed by itself, PEM.
func signed(t *testing.T, template *x509.Certificate) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// wideRoot is a root certificate that may sign for everybody.
func wideRoot(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
