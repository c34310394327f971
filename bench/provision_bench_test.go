package bench_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/remote"
)

// far is a round trip between continents' edges, and what the figures of others
// were taken at.
const far = 50 * time.Millisecond

// twenty hosts, all of them far.
func twenty(b *testing.B) *fleet { return newFleet(b, size{hosts: 20, models: 2, keys: 2}, far) }

// BenchmarkPlanNothing plans a stack of 20 hosts that is as it should be.
func BenchmarkPlanNothing(b *testing.B) {
	f := twenty(b)
	f.apply()
	var took []time.Duration
	for b.Loop() {
		planned, once := f.plan()
		mustBeEmpty(b, planned)
		took = append(took, once)
	}
	report(b, took, 1000*time.Millisecond)
	if os.Getenv("ANSIBLE") != "" {
		other := ansible(b, len(f.servers))
		b.ReportMetric(other.Seconds(), "ansible-s")
		b.ReportMetric(other.Seconds()/took[len(took)/2].Seconds(), "ansible-ratio")
	}
}

// BenchmarkApplyNothing applies a stack of 20 hosts that is as it should be, up
// to where models would be asked for a token.
func BenchmarkApplyNothing(b *testing.B) {
	f := twenty(b)
	f.apply()
	var took []time.Duration
	for b.Loop() {
		took = append(took, f.apply())
	}
	report(b, took, 1300*time.Millisecond)
}

// watched is how long an apply waits on purpose for a changed host: services
// that were restarted have to stay up for 2 s, first the proxy's, then, side by
// side, the workers'.
const watched = 4 * time.Second

// BenchmarkApplyOneFile applies a stack of 20 hosts of which each has another
// small file than before. Its figure leaves out the time that restarted services
// are watched.
func BenchmarkApplyOneFile(b *testing.B) {
	f := twenty(b)
	f.apply()
	var took []time.Duration
	for b.Loop() {
		f.changes++
		took = append(took, f.apply()-watched)
	}
	report(b, took, 2000*time.Millisecond)
}

// BenchmarkPut brings 16 MiB to a far host, over a conversation that stands.
func BenchmarkPut(b *testing.B) {
	f := newFleet(b, size{hosts: 1}, far)
	client, hangUp := f.converse()
	defer hangUp()
	if _, err := client.Lock(b.Context(), hostapi.Lock{Stack: "fleet", Wait: time.Second}, nil); err != nil {
		b.Fatal(err)
	}
	content := make([]byte, 16<<20)
	b.SetBytes(int64(len(content)))
	var took []time.Duration
	for b.Loop() {
		rand.Read(content[:32])
		digest := plan.Digest(content)
		begun := time.Now()
		if err := client.Put(b.Context(), digest, "", content, nil); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
	}
	report(b, took, 1200*time.Millisecond)
}

// report tells the best and the middle of some runs, and their limit.
func report(b *testing.B, took []time.Duration, limit time.Duration) {
	slices.Sort(took)
	b.ReportMetric(took[0].Seconds(), "min-s")
	b.ReportMetric(took[len(took)/2].Seconds(), "median-s")
	b.ReportMetric(limit.Seconds(), "limit-s")
	b.ReportMetric(0, "ns/op")
}

// converse begins a conversation with the first host.
func (f *fleet) converse() (client *hostapi.Client, hangUp func()) {
	f.t.Helper()
	server := f.servers[0]
	dialer := &remote.Dialer{Connect: f.connect}
	way, err := dialer.Dial(f.t.Context(), remote.Target{
		Address: "127.0.0.1", Port: server.Port(), User: "root", IdentityFile: server.KeyFile,
		HostKey: ssh.FingerprintSHA256(server.HostKeys[0]),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	session, err := way.Start(f.t.Context(), remote.Program{
		Name: "relay-host", Source: carried{},
		Greet: func(r *bufio.Reader) (string, error) {
			hello, err := hostapi.ReadGreeting(r)
			return hello.Digest, err
		},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	client = hostapi.NewClient(session)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		client.Run(ctx)
	}()
	return client, func() {
		stop()
		<-ended
		way.Close()
	}
}

// carried is the relay-host that greets.
type carried struct{}

// Digest implements remote.Source.
func (carried) Digest(arch string) (string, error) {
	return plan.Digest(programText("relay-host", arch)), nil
}

// Packed implements remote.Source.
func (carried) Packed(arch string) ([]byte, error) { return programs{}.Packed("relay-host", arch) }
