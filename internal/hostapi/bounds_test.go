package hostapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// alive answers pings and tells progress every 5 s, and never ends a request.
func (p *peer) alive() {
	request, ok := p.read()
	if !ok {
		return
	}
	go func() {
		for {
			if _, ok := p.read(); !ok {
				return
			}
		}
	}()
	for {
		if err := p.trySay(`{"id":%d,"progress":{"step":0,"state":"waiting","what":"looking"}}`, request.ID); err != nil {
			return
		}
		p.pause(5 * time.Second)
	}
}

// pause waits, but not after the end of the test.
func (p *peer) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-p.t.Context().Done():
	}
}

// packages are steps that may take 30 minutes each.
func packages(n int) []plan.Change {
	return slices.Repeat([]plan.Change{{ID: plan.ID{Kind: plan.KindPackage, Name: "caddy"}, Action: plan.Create}}, n)
}

// requests are all that relayctl waits for.
var requests = map[hostapi.Op]func(ctx context.Context, c *hostapi.Client) error{
	hostapi.OpObserve: func(ctx context.Context, c *hostapi.Client) error {
		_, err := c.Observe(ctx, hostapi.Observe{})
		return err
	},
	hostapi.OpLock: func(ctx context.Context, c *hostapi.Client) error {
		_, err := c.Lock(ctx, hostapi.Lock{Wait: time.Minute}, nil)
		return err
	},
	hostapi.OpUnlock: func(ctx context.Context, c *hostapi.Client) error { return c.Unlock(ctx) },
	hostapi.OpPut: func(ctx context.Context, c *hostapi.Client) error {
		return c.Put(ctx, "sha256:x", "", nil, nil)
	},
	hostapi.OpApply: func(ctx context.Context, c *hostapi.Client) error {
		_, err := c.Apply(ctx, hostapi.Apply{Steps: packages(3)}, nil)
		return err
	},
	hostapi.OpFinish: func(ctx context.Context, c *hostapi.Client) error { return c.Finish(ctx, hostapi.Finish{}) },
	hostapi.OpAsk: func(ctx context.Context, c *hostapi.Client) error {
		_, err := c.Ask(ctx, hostapi.Ask{Timeout: hostapi.MaxAskTime})
		return err
	},
	hostapi.OpLog: func(ctx context.Context, c *hostapi.Client) error {
		_, err := c.Log(ctx, "x.service", 5)
		return err
	},
	hostapi.OpReveal: func(ctx context.Context, c *hostapi.Client) error {
		_, err := c.Reveal(ctx)
		return err
	},
	hostapi.OpHistory: func(ctx context.Context, c *hostapi.Client) error {
		_, err := c.History(ctx, hostapi.History{})
		return err
	},
}

// Whatever signs of life a host sends, each request ends.
func TestRequestsEndWhateverSignsOfLifeCome(t *testing.T) {
	for op, request := range requests {
		t.Run(string(op), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				client, host, _ := connect(t)
				go host.alive()
				most := 15 * time.Minute
				switch op {
				case hostapi.OpPut:
					most = 30 * time.Minute
				case hostapi.OpApply:
					most = 2 * time.Hour
				}
				begun := time.Now()
				err := request(t.Context(), client)
				if took := time.Since(begun); !errors.Is(err, hostapi.ErrEndless) || !isLost(err) || took > most {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}

// One that its caller gave up ends soon, also where the host does not stop.
func TestGivenUpRequestsEndSoon(t *testing.T) {
	for op, request := range requests {
		t.Run(string(op), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				client, host, _ := connect(t)
				go host.alive()
				ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
				defer cancel()
				most := 17 * time.Second
				if op == hostapi.OpApply {
					most = 127 * time.Second // it finishes a step
				}
				begun := time.Now()
				err := request(ctx, client)
				if took := time.Since(begun); !errors.Is(err, hostapi.ErrEndless) || took > most {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}

// A host that sends and takes nothing stops no request from ending.
func TestHostThatTakesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, host, _ := connect(t)
		go func() {
			for host.trySay(`{"id":99,"result":null}`) == nil {
				host.pause(time.Second)
			}
		}()
		begun := time.Now()
		_, err := client.Observe(t.Context(), hostapi.Observe{})
		if took := time.Since(begun); !errors.Is(err, hostapi.ErrEndless) || took > 15*time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// What a host says beside its answers is bounded, in lines and in bytes.
func TestFloods(t *testing.T) {
	for name, line := range map[string]string{
		"progress":             `{"id":%d,"progress":{"step":0,"state":"waiting","what":"x"}}`,
		"long progress":        `{"id":%d,"progress":{"step":0,"state":"waiting","what":"` + strings.Repeat("x", 1<<20) + `"}}`,
		"progress for nobody":  `{"id":9%d,"progress":{"step":0,"state":"waiting","what":"x"}}`,
		"answers to nobody":    `{"id":9%d,"result":null}`,
		"long ones to nobody":  `{"id":9%d,"result":"` + strings.Repeat("x", 1<<20) + `"}`,
		"neither of all these": `{"unknown":%d}`,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				client, host, ran := connect(t)
				sent := 0
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					request, _ := host.read()
					for ; sent < 20_000 && host.trySay(line, request.ID) == nil; sent++ {
					}
					host.conn.Close()
				}()
				_, err := client.Observe(t.Context(), hostapi.Observe{})
				<-ended
				if !errors.Is(err, hostapi.ErrEndless) || !errors.Is(<-ran, hostapi.ErrEndless) {
					t.Errorf("error %v", err)
				}
				if len(line) > 1<<20 && sent > 20 {
					t.Errorf("%d MiB were taken", sent)
				}
			})
		})
	}
}

// Much progress at once is no flood, nor is some of it all the time.
func TestMuchProgress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, host, _ := connect(t)
		heard := 0
		go func() {
			request, _ := host.read()
			go host.read() // answers pings
			for range 5_000 {
				host.say(`{"id":%d,"progress":{"step":0,"state":"started"}}`, request.ID)
			}
			for range 60 * 60 * 10 {
				host.say(`{"id":%d,"progress":{"step":0,"state":"waiting"}}`, request.ID)
				time.Sleep(100 * time.Millisecond)
			}
			host.say(`{"id":%d,"result":{}}`, request.ID)
		}()
		_, err := client.Apply(t.Context(), hostapi.Apply{Steps: packages(3)}, func(hostapi.Progress) { heard++ })
		if err != nil || heard != 41_000 {
			t.Errorf("heard %d: %v", heard, err)
		}
	})
}

// Texts for people are cut, and a log has no more lines than were asked for.
func TestLongTextsAreCut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, host, _ := connect(t)
		long := strings.Repeat("é", 1<<20)
		go func() {
			for {
				request, ok := host.read()
				if !ok {
					return
				}
				host.say(`{"id":%d,"progress":{"step":0,"state":"waiting","what":%q,"by":%q,"line":%q,"took":-5,"amount":{"done":9,"total":7,"of":%q}}}`, request.ID, long, long[:1<<14], long[:1<<14], long[:1<<14])
				if request.Op == hostapi.OpLog {
					lines, _ := json.Marshal(map[string]any{"lines": append(make([]string, 1000), long)})
					host.say(`{"id":%d,"result":%s}`, request.ID, lines)
					continue
				}
				failure, _ := json.Marshal(map[string]any{"message": long, "hint": long, "log": append(make([]string, 1000), long)})
				host.say(`{"id":%d,"error":%s}`, request.ID, failure)
			}
		}()
		const most = 5 << 10
		_, err := client.Apply(t.Context(), hostapi.Apply{}, func(p hostapi.Progress) {
			for _, text := range []string{p.What, p.By, p.Line, string(p.Amount.Measure)} {
				if len(text) > most || !strings.HasSuffix(text, "é…") {
					t.Errorf("%d bytes of progress", len(text))
				}
			}
			if p.Took != 0 || p.Amount.Done != p.Amount.Total {
				t.Errorf("%v for %+v", p.Took, p.Amount)
			}
		})
		var said *hostapi.Error
		if !errors.As(err, &said) || len(said.Message) > most || len(said.Hint) > most || len(said.Log) > 200 || len(said.Log[len(said.Log)-1]) > most {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
		lines, err := client.Log(t.Context(), "x.service", 5)
		if err != nil || len(lines) != 5 || len(lines[4]) > most || lines[4] == "" {
			t.Errorf("%d lines, %v", len(lines), err)
		}
	})
}
