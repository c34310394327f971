package host_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
)

func TestAuthoritySignsForItsDomainAlone(t *testing.T) {
	for _, test := range []struct {
		domain  string
		refused []string
	}{
		{"llm.example.com", []string{"example.com", "evil.com", "10.0.0.1", "::1"}},
		{"203.0.113.10", []string{"203.0.113.11", "example.com", "::1"}},
		{"2001:db8::1", []string{"2001:db8::2", "example.com", "10.0.0.1"}},
	} {
		t.Run(test.domain, func(t *testing.T) {
			m := newMachine(t)
			s := m.lock()
			ca := resource(plan.KindCA, plan.CAInternal, plan.AttrDomain, test.domain)
			s.bring(ca,
				s.fileFrom("/etc/root.pem", plan.ID{Kind: plan.KindCA, Name: plan.CAInternal}),
				s.fileFrom("/etc/root.key", plan.ID{Kind: plan.KindCA, Name: plan.CAInternalKey}))
			have := m.observe().Find(ca.ID).Have
			if have[plan.AttrPublic] != m.Read("/etc/root.pem") || have[plan.AttrDomain] != test.domain {
				t.Errorf("the fact is %v", have)
			}
			expires, err := time.Parse(time.RFC3339, have[plan.AttrNotAfter])
			if years := time.Until(expires).Hours() / 24 / 365; err != nil || years < 9.9 || years > 10.1 {
				t.Errorf("it expires %v, %v", expires, err)
			}
			if err := signs(t, m, test.domain); err != nil {
				t.Errorf("its own domain: %v", err)
			}
			for _, other := range test.refused {
				if err := signs(t, m, other); err == nil {
					t.Errorf("it signs for %s too", other)
				}
			}
		})
	}
}

// signs has the root sign a certificate for name and verifies it as a client.
func signs(t *testing.T, m *debian, name string) error {
	t.Helper()
	rootBlock, _ := pem.Decode([]byte(m.Read("/etc/root.pem")))
	keyBlock, _ := pem.Decode([]byte(m.Read("/etc/root.key")))
	root, err := x509.ParseCertificate(rootBlock.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	rootKey, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: root.NotBefore, NotAfter: root.NotAfter}
	if ip := net.ParseIP(name); ip != nil {
		leaf.IPAddresses = []net.IP{ip}
	} else {
		leaf.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	_, err = certificate.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
	return err
}

func TestAuthorityForAnotherDomainIsNew(t *testing.T) {
	m := newMachine(t)
	s := m.lock()
	s.bring(resource(plan.KindCA, "internal", plan.AttrDomain, "a.example"))
	first := m.Read("/var/lib/relayctl/ca/internal.pem")
	s.bring(resource(plan.KindCA, "internal", plan.AttrDomain, "a.example"))
	if m.Read("/var/lib/relayctl/ca/internal.pem") != first {
		t.Error("the same domain made a new root")
	}
	s.bring(resource(plan.KindCA, "internal", plan.AttrDomain, "b.example"))
	if m.Read("/var/lib/relayctl/ca/internal.pem") == first {
		t.Error("another domain kept the root")
	}
	if m.Read("/var/lib/relayctl/generations/1/var/lib/relayctl/ca/internal.pem") != first {
		t.Error("the former root was not kept")
	}
}
