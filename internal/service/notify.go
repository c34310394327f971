package service

import (
	"cmp"

	"github.com/coreos/go-systemd/v22/daemon"
)

// The service manager is told of each change, if there is one; nothing can be
// done about a failure.

// NotifyReady tells that the service is up, again after NotifyReloading, and
// its status.
func NotifyReady(status string) { daemon.SdNotify(false, "READY=1\nSTATUS="+status) }

// NotifyStatus tells a new status.
func NotifyStatus(status string) { daemon.SdNotify(false, "STATUS="+status) }

// NotifyReloading tells that settings are being read.
func NotifyReloading() { daemon.SdNotify(false, "RELOADING=1\n"+daemon.SdNotifyMonotonicUsec()) }

// NotifyStopping tells that the service is on its way out.
func NotifyStopping() { daemon.SdNotify(false, "STOPPING=1") }

// Status is one line for the service manager: the digest of the settings in
// force ("" where they were given by hand), how the service stands, if there
// is something to say, and why newer settings are not in force.
func Status(digest, state string, refused error) string {
	text := "settings " + cmp.Or(digest, "by hand")
	if state != "" {
		text += "; " + state
	}
	if refused != nil {
		text += "; reload refused: " + refused.Error()
	}
	line := []byte(text)
	for i, c := range line {
		if c < ' ' {
			line[i] = ' '
		}
	}
	return string(line)
}
