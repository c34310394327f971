package remote_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

// big is a program of 16 MiB.
func big() script {
	return script{digest: "v1", text: programText("v1-amd64") + strings.Repeat("#", 16<<20)}
}

// A round trip of 50 ms must not count once per packet: 16 MiB in packets of
// 32 KiB would take 26 s then.
func TestUploadIsNotBoundByLatency(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{RTT: 50 * time.Millisecond})
	host := dial(t, trusting(t), target(s))
	begin := time.Now()
	session, err := host.Start(t.Context(), program(big()))
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("first contact with 16 MiB took %v", took)
	}
	echo(t, session)
}

func TestConnectionLostInTheMiddleOfAnUpload(t *testing.T) {
	for name, lose := range map[string]func(*remotetest.Server){
		"broken": (*remotetest.Server).Drop,
		"silent": (*remotetest.Server).Freeze,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := remotetest.Start(t, remotetest.Options{RTT: 10 * time.Millisecond})
			d := trusting(t)
			d.KeepAlive = 100 * time.Millisecond
			p := program(big())
			p.Uploading = func(sent, total int64) {
				if sent > total/2 {
					lose(s)
				}
			}
			startError[*remote.LostError](t, dial(t, d, target(s)), p)
		})
	}
}

func TestCancelledInTheMiddleOfAnUpload(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{RTT: 10 * time.Millisecond})
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	p := program(big())
	var last int64
	p.Uploading = func(sent, total int64) {
		last = sent
		if sent > total/2 {
			cancel()
		}
	}
	_, err := dial(t, trusting(t), target(s)).Start(ctx, p)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that it was cancelled", err)
	}
	if last > 10<<20 {
		t.Errorf("the upload went on to %d bytes", last)
	}
	if left := leftBehind(t, s); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// BenchmarkConnect is what a plan of an unchanged host costs at 50 ms: log in
// and start the installed program.
func BenchmarkConnect(b *testing.B) {
	s := remotetest.Start(b, remotetest.Options{RTT: 50 * time.Millisecond})
	install(b, s, programText("v1-amd64"))
	d := trusting(b)
	for b.Loop() {
		host := dial(b, d, target(s))
		session, err := host.Start(b.Context(), program(script{digest: "v1"}))
		if err != nil {
			b.Fatal(err)
		}
		session.Close()
		host.Close()
		install(b, s, programText("v1-amd64")) // it has removed itself
	}
}

// BenchmarkFirstContact brings 16 MiB along at 50 ms.
func BenchmarkFirstContact(b *testing.B) {
	s := remotetest.Start(b, remotetest.Options{RTT: 50 * time.Millisecond})
	host := dial(b, trusting(b), target(s))
	p := program(big())
	b.SetBytes(16 << 20)
	for b.Loop() {
		session, err := host.Start(b.Context(), p)
		if err != nil {
			b.Fatal(err)
		}
		session.Close()
	}
}
