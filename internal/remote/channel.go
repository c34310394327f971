package remote

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"
)

// Where sshd lets a connection have one session at a time (MaxSessions), the one
// before counts until its program is gone, also when we have let go of it. So an
// open that is refused is tried again, after 20 ms at first and for 5 s in all.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = 2560 * time.Millisecond
)

// open opens a session. No other one that we still need may be open.
func (m *sshMachine) open() (*ssh.Session, error) {
	for pause := firstPause; ; pause *= 2 {
		session, err := m.client.NewSession()
		if err == nil {
			m.used.Store(true)
			return session, nil
		}
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) || !m.used.Load() || pause > lastPause {
			return nil, m.loss(fmt.Errorf("open session: %w", err))
		}
		select {
		case <-time.After(pause):
		case <-m.lost.Done():
		}
	}
}
